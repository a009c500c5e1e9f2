//! `isthmus-fuzz packets | connections`: how much is a number or a time; the seed is printed, and
//! `ISTHMUS_SEED` repeats it.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a test program")]

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use isthmus_fuzz::{Extent, connections, packets};
use isthmus_tests::{Kafka, seed};

const USAGE: &str =
    "usage: isthmus-fuzz packets|connections --count N | --seconds N [--first INDEX]";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        Some(arguments.get(at + 1)?.parse::<u64>().expect(USAGE))
    };
    let extent = number("--count")
        .map(Extent::Count)
        .or_else(|| number("--seconds").map(|time| Extent::Time(Duration::from_secs(time))))
        .expect(USAGE);
    let first = number("--first").unwrap_or(0);
    match arguments.first().map(String::as_str) {
        Some("packets") => println!("{}", packets::run(seed(), first, extent).table()),
        Some("connections") => {
            with_plain_memory();
            let report = connections::run(&Kafka::start(), seed(), first, extent);
            println!("{}", report.text());
        }
        _ => {
            println!("{USAGE}");
            std::process::exit(2);
        }
    }
}

/// Starts this program again with the C library told to give large blocks back at once. Without it
/// what a check of a password takes (19 MiB, argon2id) stays with the broker's heap, and its resident
/// memory says nothing below some tens of MiB.
fn with_plain_memory() {
    const NAME: &str = "MALLOC_MMAP_THRESHOLD_";
    if std::env::var_os(NAME).is_some() {
        return;
    }
    let own = std::env::current_exe().expect("own path");
    let fault = Command::new(own)
        .args(std::env::args_os().skip(1))
        .env(NAME, "1048576")
        .exec();
    println!("cannot start again: {fault}");
}
