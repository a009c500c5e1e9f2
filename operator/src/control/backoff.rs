//! How long a failing object waits: from a second, doubling, to five minutes; one that gets on begins
//! anew.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(300);

/// The failures in a row of each object.
#[derive(Debug, Default)]
pub struct Backoffs(Mutex<HashMap<String, u32>>);

impl Backoffs {
    /// One more failure: how long to wait.
    #[must_use]
    pub fn failed(&self, uid: &str) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(uid.to_owned()).or_default();
        let wait = FIRST.saturating_mul(1 << (*count).min(9)).min(MOST);
        *count += 1;
        wait
    }

    /// It got on, or is gone.
    pub fn reset(&self, uid: &str) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_to_five_minutes_and_begins_anew() {
        let backoffs = Backoffs::default();
        let waits: Vec<u64> = (0..11).map(|_| backoffs.failed("a").as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(backoffs.failed("b").as_secs(), 1);
        backoffs.reset("a");
        assert_eq!(backoffs.failed("a").as_secs(), 1);
    }
}
