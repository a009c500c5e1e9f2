//! Fuzzing beyond libFuzzer: generated and mutated packets against an independent codec
//! ([`packets`]), and mutated connections against the real broker ([`connections`]).
//!
//! Everything follows from one seed, which is printed; `ISTHMUS_SEED` repeats it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::missing_panics_doc,
    reason = "a test program: a failed expectation is a finding"
)]

pub mod classes;
pub mod compare;
pub mod connections;
pub mod generate;
pub mod memory;
pub mod mutate;
pub mod packets;
pub mod pool;
pub mod theirs;
pub mod wire;

use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// How long a run goes on.
#[derive(Clone, Copy, Debug)]
pub enum Extent {
    /// This many.
    Count(u64),
    /// This long.
    Time(Duration),
}

impl Extent {
    /// Whether there is more to do.
    #[must_use]
    pub fn goes_on(self, done: u64, since: Instant) -> bool {
        match self {
            Self::Count(count) => done < count,
            Self::Time(time) => since.elapsed() < time,
        }
    }
}

/// The choices of one case of a run: any case can be made again without those before it.
#[must_use]
pub fn random(seed: u64, index: u64) -> StdRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&index.to_le_bytes());
    StdRng::from_seed(bytes)
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
