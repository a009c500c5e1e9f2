//! `isthmus-fuzz packets | connections`: how much is a number or a time; the seed is printed, and
//! `ISTHMUS_SEED` repeats it.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a test program")]

use std::time::Duration;

use isthmus_fuzz::{Extent, packets};
use isthmus_tests::seed;

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
        _ => {
            println!("{USAGE}");
            std::process::exit(2);
        }
    }
}
