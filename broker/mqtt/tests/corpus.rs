//! The fuzzers' kept inputs, on stable: seeds (`cargo run -p isthmus-mqtt --example seed_corpus`)
//! and whatever a fuzzer once found.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test's helper")]

#[path = "../fuzz/src/checks.rs"]
mod checks;

use std::path::Path;

fn each_file(target: &str, check: fn(&[u8])) {
    // Cargo runs a test in its package's folder.
    let folder = Path::new("fuzz/corpus").join(target);
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display()); // shown if the check fails
        check(&std::fs::read(&path).unwrap());
        files += 1;
    }
    assert!(files >= 20, "{} is not whole", folder.display());
}

#[test]
fn decode_holds_for_the_corpus() {
    each_file("decode", checks::decode);
}

#[test]
fn topic_holds_for_the_corpus() {
    each_file("topic", checks::topic);
}
