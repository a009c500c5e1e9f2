//! Keeping librdkafka's own thread awake.
//!
//! It sends heartbeats, and joins again, only in passing, whenever something has woken it and else once
//! a second (2.12): a rebalance of several steps would take seconds. Any question to it wakes it.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};

/// Between two questions, when nothing happens: as often as heartbeats are due.
const IDLE: Duration = Duration::from_millis(100);
/// While the group divides its partitions.
const BUSY: Duration = Duration::from_millis(50);
/// How long that may go on after the last word of it.
const CALM: Duration = Duration::from_secs(3);

pub(super) struct Pulse {
    next: Instant,
    busy_until: Instant,
}

impl Pulse {
    /// Of a member that is about to join.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            next: now,
            busy_until: now + CALM,
        }
    }

    /// The group divides its partitions.
    pub(super) fn quicken(&mut self) {
        let now = Instant::now();
        self.busy_until = now + CALM;
        self.next = self.next.min(now + BUSY);
    }

    /// How long until the next question.
    pub(super) fn due(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    pub(super) fn serve<C: ConsumerContext>(&mut self, consumer: &BaseConsumer<C>) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        let _ = consumer.group_metadata();
        self.next = now + if now < self.busy_until { BUSY } else { IDLE };
    }
}
