//! Whether the process lives (its shards' heartbeats move) and whether it is ready (no named
//! condition stands against it).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

/// One condition that stands against readiness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotReady {
    /// Its name.
    pub condition: &'static str,
    /// Why, for a human.
    pub reason: String,
}

/// The named conditions of readiness. Cheap to clone; other parts set theirs.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    against: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

impl Readiness {
    /// Not ready until each of these conditions was set ready.
    #[must_use]
    pub fn new(conditions: &[&'static str]) -> Self {
        let against = conditions
            .iter()
            .map(|&c| (c, "starting".to_owned()))
            .collect();
        Self {
            against: Arc::new(Mutex::new(against)),
        }
    }

    /// The condition holds.
    pub fn set_ready(&self, condition: &'static str) {
        if self.against.lock().remove(condition).is_some() {
            tracing::info!(condition, "ready");
        }
    }

    /// The condition does not hold, and why.
    pub fn set_not_ready(&self, condition: &'static str, reason: impl Into<String>) {
        let reason = reason.into();
        let mut against = self.against.lock();
        if against.get(condition) != Some(&reason) {
            tracing::info!(condition, reason, "not ready");
            against.insert(condition, reason);
        }
    }

    /// Whether nothing stands against it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.against.lock().is_empty()
    }

    /// What stands against it, by name.
    #[must_use]
    pub fn reasons(&self) -> Vec<NotReady> {
        let against = self.against.lock();
        against
            .iter()
            .map(|(&condition, r)| NotReady {
                condition,
                reason: r.clone(),
            })
            .collect()
    }
}

/// One pulse for every shard, and when it was last felt.
#[derive(Clone, Debug)]
pub struct Heartbeats {
    start: Instant,
    beats: Arc<[Heartbeat]>,
}

/// A shard's pulse: [`Heartbeat::beat`] at least every few seconds.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    start: Instant,
    last_ms: Arc<AtomicU64>,
}

impl Heartbeats {
    /// All beat now.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        let start = Instant::now();
        let beat = |_| Heartbeat {
            start,
            last_ms: Arc::default(),
        };
        Self {
            start,
            beats: (0..shards).map(beat).collect(),
        }
    }

    /// The pulse of one shard, `None` past the last.
    #[must_use]
    pub fn of(&self, shard: usize) -> Option<Heartbeat> {
        self.beats.get(shard).cloned()
    }

    /// # Errors
    /// Names the shards whose last beat is older than `age`.
    pub fn check(&self, age: Duration) -> Result<(), String> {
        let now = millis(self.start.elapsed());
        let stale = |beat: &Heartbeat| {
            now.saturating_sub(beat.last_ms.load(Ordering::Relaxed)) > millis(age)
        };
        let late: Vec<String> = self
            .beats
            .iter()
            .enumerate()
            .filter(|(_, beat)| stale(beat))
            .map(|(shard, _)| shard.to_string())
            .collect();
        if late.is_empty() {
            return Ok(());
        }
        Err(format!(
            "no heartbeat for {} s from shard {}",
            age.as_secs(),
            late.join(", ")
        ))
    }
}

impl Heartbeat {
    /// The shard lives.
    pub fn beat(&self) {
        self.last_ms
            .store(millis(self.start.elapsed()), Ordering::Relaxed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_lists_what_stands_against_it() {
        let readiness = Readiness::new(&["kafka", "directory"]);
        readiness.set_ready("directory");
        readiness.set_not_ready("slots", "2 slots restore");
        let reasons = readiness.reasons();
        assert_eq!(
            reasons,
            [
                NotReady {
                    condition: "kafka",
                    reason: "starting".into()
                },
                NotReady {
                    condition: "slots",
                    reason: "2 slots restore".into()
                },
            ]
        );
        readiness.set_ready("kafka");
        readiness.set_ready("slots");
        assert!(readiness.is_ready());
    }

    #[test]
    fn a_shard_that_stands_still_is_named() {
        let beats = Heartbeats::new(2);
        let first = beats.of(0).unwrap();
        assert!(beats.of(2).is_none());
        std::thread::sleep(Duration::from_millis(20));
        first.beat();
        assert_eq!(
            beats.check(Duration::from_millis(10)).unwrap_err(),
            "no heartbeat for 0 s from shard 1"
        );
        assert!(beats.check(Duration::from_secs(10)).is_ok());
    }
}
