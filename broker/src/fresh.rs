//! Retained messages as fresh as Kafka, where other pods retain messages too: what a pod had
//! acknowledged before a SUBSCRIBE here is in that SUBSCRIBE's replay.
//!
//! One thread takes all questions that wait, asks where the log ends, and answers when the cache
//! has been read up to there. A shard goes on by itself after [`PATIENCE`].

use crate::shared::{Event, Shared};
use isthmus_core::shard::Token;
use isthmus_kafka::reader::{ReaderConfig, Tip};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// As long as a shard waits.
const PATIENCE: Duration = Duration::from_millis(isthmus_core::shard::REFRESH_PATIENCE);
/// Before Kafka is asked again.
const AGAIN: Duration = Duration::from_millis(50);

/// Shards and their questions.
type Waiting = Vec<(u16, Token)>;

/// How far the cache has been read, and who waits for more.
#[derive(Default)]
pub struct Fresh {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The next offset to be read of each partition.
    positions: BTreeMap<i32, i64>,
    waiting: Waiting,
    ended: bool,
}

impl Fresh {
    /// A shard waits.
    pub fn ask(&self, shard: u16, token: Token) {
        self.state.lock().waiting.push((shard, token));
        self.changed.notify_all();
    }

    /// Everything of a partition before this offset is in the cache.
    pub fn read_to(&self, partition: i32, next: i64) {
        let mut state = self.state.lock();
        let known = state.positions.entry(partition).or_default();
        *known = next.max(*known);
        drop(state);
        self.changed.notify_all();
    }

    fn is_over(&self) -> bool {
        self.state.lock().ended
    }

    /// The next who wait, all at once, and the partitions that there are; none: it is over.
    fn take(&self) -> Option<(Waiting, Vec<i32>)> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() && !state.ended {
            self.changed.wait(&mut state);
        }
        let partitions = state.positions.keys().copied().collect();
        (!state.ended).then(|| (std::mem::take(&mut state.waiting), partitions))
    }

    /// Waits until everything before these ends has been read; whether it has.
    fn wait(&self, ends: &BTreeMap<i32, i64>, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        let read = |state: &State| {
            ends.iter()
                .all(|(partition, end)| state.positions.get(partition).is_some_and(|at| at >= end))
        };
        while !read(&state) {
            let late = self.changed.wait_until(&mut state, deadline).timed_out();
            if state.ended || (late && !read(&state)) {
                return false;
            }
        }
        true
    }
}

/// The thread that asks.
pub struct Asking {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.shared.fresh.state.lock().ended = true;
        self.shared.fresh.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Starts the thread; `config` names the topic that the cache is read from.
///
/// # Errors
/// When the client cannot be made.
pub fn start(shared: &Arc<Shared>, config: &ReaderConfig) -> anyhow::Result<Asking> {
    let tip = Tip::new(config)?;
    let to = shared.clone();
    let thread = thread::Builder::new()
        .name("fresh".to_owned())
        .spawn(move || {
            let mut behind = false;
            while let Some((waiting, partitions)) = to.fresh.take() {
                let fresh = answer(&to, &tip, &waiting, &partitions);
                match (std::mem::replace(&mut behind, fresh.is_err()), fresh) {
                    (false, Err(reason)) => {
                        tracing::warn!(reason, "retained messages of other pods may be missing");
                    }
                    (true, Ok(())) => tracing::info!("retained messages of other pods are here"),
                    _ => {}
                }
            }
        })?;
    Ok(Asking {
        shared: shared.clone(),
        thread: Some(thread),
    })
}

/// Asks once for all who wait, and tells them.
fn answer(
    shared: &Shared,
    tip: &Tip,
    waiting: &[(u16, Token)],
    partitions: &[i32],
) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    let ends = loop {
        match tip.ask(partitions.iter().copied()) {
            Ok(ends) => break ends,
            Err(error) if shared.fresh.is_over() || Instant::now() + AGAIN >= deadline => {
                return Err(error.to_string());
            }
            Err(_) => thread::sleep(AGAIN),
        }
    };
    if !shared.fresh.wait(&ends, deadline) {
        return Err("their topic was not read in time".to_owned());
    }
    for (shard, token) in waiting {
        shared.tell(usize::from(*shard), Event::Refreshed(*token));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_waits_until_every_partition_has_been_read_to_its_end() {
        let fresh = Arc::new(Fresh::default());
        let ends = BTreeMap::from([(0, 5), (1, 0), (2, 3)]);
        let soon = || Instant::now() + Duration::from_millis(20);
        assert!(!fresh.wait(&ends, soon()), "nothing has been read");
        for partition in 0..3 {
            fresh.read_to(partition, 3);
        }
        assert!(!fresh.wait(&ends, soon()), "partition 0 lags");
        let other = fresh.clone();
        let waits = thread::spawn(move || other.wait(&ends, Instant::now() + PATIENCE * 20));
        fresh.read_to(0, 4);
        fresh.read_to(0, 6);
        fresh.read_to(0, 2);
        assert!(waits.join().unwrap());
        assert_eq!(fresh.state.lock().positions[&0], 6, "it never goes back");
    }

    #[test]
    fn all_who_wait_are_taken_at_once() {
        let fresh = Fresh::default();
        fresh.read_to(3, 1);
        fresh.ask(0, 7);
        fresh.ask(1, 7);
        assert_eq!(fresh.take(), Some((vec![(0, 7), (1, 7)], vec![3])));
        fresh.state.lock().ended = true;
        assert_eq!(fresh.take(), None);
    }
}
