//! How many connections this pod takes, and how fast: shared by all its listeners.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::telemetry::labels::ListenerKind;
use crate::telemetry::{Metrics, RefusalReason};

/// Counts connections and paces new ones.
#[derive(Debug)]
pub struct Gate {
    max_connections: u32,
    open: AtomicU32,
    pace: Option<Mutex<Pace>>,
    metrics: Arc<Metrics>,
}

/// A token bucket that holds one second's worth. Several listeners that take at once may each
/// take one that is not there; it is owed.
#[derive(Debug)]
struct Pace {
    rate: f64,
    tokens: f64,
    counted: Instant,
}

impl Pace {
    fn refill(&mut self, now: Instant) {
        let since = now.duration_since(self.counted).as_secs_f64();
        self.tokens = (self.tokens + since * self.rate).min(self.rate.max(1.0));
        self.counted = now;
    }

    /// Until there is a token; zero where there is one.
    fn wait(&mut self, now: Instant) -> Duration {
        self.refill(now);
        if self.tokens >= 1.0 {
            return Duration::ZERO;
        }
        // A millisecond more than it takes, so that rounding never makes a second sleep.
        Duration::from_secs_f64((1.0 - self.tokens) / self.rate) + Duration::from_millis(1)
    }
}

impl Gate {
    /// `connect_rate` is new connections a second; 0 counts as 1.
    #[must_use]
    pub fn new(max_connections: u32, connect_rate: Option<u32>, metrics: Arc<Metrics>) -> Self {
        let pace = connect_rate.map(|rate| {
            let rate = f64::from(rate.max(1));
            Mutex::new(Pace {
                rate,
                tokens: rate,
                counted: Instant::now(),
            })
        });
        Self {
            max_connections,
            open: AtomicU32::new(0),
            pace,
            metrics,
        }
    }

    /// The limit.
    #[must_use]
    pub const fn max_connections(&self) -> u32 {
        self.max_connections
    }

    /// Connections that are open now.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Waits until the rate lets one more in. Safe to drop and to call again.
    pub(super) async fn ready(&self) {
        let Some(pace) = &self.pace else { return };
        loop {
            let wait = pace.lock().wait(Instant::now());
            if wait.is_zero() {
                return;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Counts an accepted connection in; `None`, and counted so, past the limit.
    pub(super) fn admit(self: &Arc<Self>, listener: ListenerKind) -> Option<ConnectionGuard> {
        if let Some(pace) = &self.pace {
            pace.lock().tokens -= 1.0;
        }
        let one_more = |open: u32| (open < self.max_connections).then_some(open + 1);
        if self
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_err()
        {
            self.refused(RefusalReason::MaxConnections);
            return None;
        }
        self.metrics.connections.inc();
        self.metrics.connections_accepted.inc(listener);
        Some(ConnectionGuard(Arc::clone(self)))
    }

    pub(super) fn refused(&self, reason: RefusalReason) {
        self.metrics.connections_refused.inc(reason);
    }
}

/// A connection's place; keep it as long as the socket.
#[derive(Debug)]
pub struct ConnectionGuard(Arc<Gate>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.connections.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_guard_goes() {
        let metrics = Arc::new(Metrics::new());
        let gate = Arc::new(Gate::new(2, None, metrics.clone()));
        let first = gate.admit(ListenerKind::Mqtt).unwrap();
        let _second = gate.admit(ListenerKind::Ws).unwrap();
        assert!(gate.admit(ListenerKind::Mqtt).is_none());
        assert_eq!((gate.open(), metrics.connections.get()), (2, 2));
        drop(first);
        assert!(gate.admit(ListenerKind::Mqtt).is_some());
        assert_eq!((gate.open(), metrics.connections.get()), (1, 1));
        assert_eq!(metrics.connections_accepted.get(ListenerKind::Mqtt), 2);
        assert_eq!(
            metrics
                .connections_refused
                .get(RefusalReason::MaxConnections),
            1
        );
    }

    #[tokio::test(start_paused = true)]
    async fn rate_lets_a_second_s_worth_through_and_then_waits() {
        let gate = Arc::new(Gate::new(1000, Some(10), Arc::new(Metrics::new())));
        let start = Instant::now();
        let mut guards = vec![];
        for _ in 0..30 {
            gate.ready().await;
            guards.push(gate.admit(ListenerKind::Mqtt).unwrap());
        }
        let took = start.elapsed();
        assert!(
            (Duration::from_millis(1990)..Duration::from_millis(2100)).contains(&took),
            "{took:?}"
        );
    }
}
