//! Which partitions the transaction that runs may be about.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use crate::support::lock;

type Partitions = HashSet<(Arc<str>, i32)>;

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Under {
    partitions: Mutex<Partitions>,
    ended: Condvar,
}

impl Under {
    /// Before it is looked at what of them is ours.
    pub(super) fn begin(&self, partitions: Partitions) {
        *lock(&self.partitions) = partitions;
    }

    /// What became of it is known.
    pub(super) fn end(&self) {
        lock(&self.partitions).clear();
        self.ended.notify_all();
    }

    /// Waits until it is not about this partition; false when it is still at `deadline`.
    pub(super) fn wait(&self, topic: &Arc<str>, partition: i32, deadline: Instant) -> bool {
        let partition = (topic.clone(), partition);
        let mut partitions = lock(&self.partitions);
        while partitions.contains(&partition) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            partitions = match self.ended.wait_timeout(partitions, left) {
                Ok((partitions, _)) => partitions,
                Err(error) => PoisonError::into_inner(error).0,
            };
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_transaction_is_waited_for_by_whom_it_concerns() {
        let under = Arc::new(Under::default());
        let topic: Arc<str> = "inbox".into();
        under.begin([(topic.clone(), 1)].into());
        assert!(under.wait(&topic, 2, Instant::now()));
        assert!(!under.wait(&topic, 1, Instant::now()));
        let other = under.clone();
        let waits = std::thread::spawn(move || {
            other.wait(&topic, 1, Instant::now() + Duration::from_secs(60))
        });
        under.end();
        assert!(waits.join().unwrap());
    }
}
