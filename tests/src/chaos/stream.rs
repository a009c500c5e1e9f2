//! A stream: the numbered messages of one sender, with the topic and the QoS of each number.

use std::sync::{Mutex, MutexGuard, PoisonError};

use isthmus_mqtt::QoS;

use super::ledger::State;

/// Where a stream's messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// A device's measurements: two child topics of a parent that is stored, and one that is not.
    Device { n: usize, ordered: bool },
    /// A retained value, under a stored parent or not.
    State { n: usize, stored: bool },
    /// What a short-lived device says.
    Churn { n: usize },
    /// A device's wills, one for each of its connections.
    Will { n: usize },
    /// Records of `mq2mqtt` for one device.
    Command { n: usize },
    /// Records of `mq2mqtt` with a filter as the destination.
    Broadcast,
}

/// Which QoS a stream's messages have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mix {
    One,
    Two,
    /// Every fifth has QoS 2.
    Both,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) name: String,
    /// The sender's clientId; for `mq2mqtt` the record's key.
    pub(super) client: String,
    pub(super) route: Route,
    pub(super) mix: Mix,
    state: Mutex<State>,
}

impl Stream {
    pub(super) fn new(name: String, client: String, route: Route, mix: Mix) -> Self {
        Self {
            name,
            client,
            route,
            mix,
            state: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn topic(&self, number: usize) -> String {
        match self.route {
            Route::Device { n, .. } if number % 4 == 3 => format!("d2d/{n}"),
            Route::Device { n, ordered } => {
                let parent = if ordered { "orderMsg2mq-up" } else { "up" };
                let child = if number % 4 == 2 { "b" } else { "a" };
                format!("{parent}/d{n}/{child}")
            }
            Route::State { n, stored: false } => format!("state/{n}"),
            Route::State { n, stored: true } => format!("up/state/{n}"),
            Route::Churn { n } => format!("up/churn/{n}"),
            Route::Will { n } => format!("up/w/{n}"),
            Route::Command { n } => format!("cmd/{n}/one"),
            Route::Broadcast => "cmd/+/all".to_owned(),
        }
    }

    /// Whether a message of this number may come under this name.
    pub(super) fn reaches(&self, number: usize, name: &str) -> bool {
        isthmus_mqtt::topic::matches(&self.topic(number), name)
    }

    /// The parent topic in which this number is stored, if any.
    pub(super) fn stored_in(&self, number: usize) -> Option<&'static str> {
        match self.route {
            Route::Command { .. } | Route::Broadcast | Route::State { stored: false, .. } => None,
            Route::Device { .. } if number % 4 == 3 => None,
            Route::Device { ordered: true, .. } => Some("orderMsg2mq-up"),
            _ => Some("up"),
        }
    }

    pub(super) fn qos(&self, number: usize) -> QoS {
        match self.mix {
            Mix::Both if number.is_multiple_of(5) => QoS::ExactlyOnce,
            Mix::Two => QoS::ExactlyOnce,
            Mix::One | Mix::Both => QoS::AtLeastOnce,
        }
    }

    pub(super) fn is_downlink(&self) -> bool {
        matches!(self.route, Route::Command { .. } | Route::Broadcast)
    }

    /// Name and number, and a filling that makes sizes differ.
    pub(super) fn payload(&self, number: usize) -> Vec<u8> {
        let filling = "x".repeat(number * 37 % 300);
        format!("{}:{number}:{filling}", self.name).into_bytes()
    }

    /// The line of the report that this stream counts for.
    pub(super) fn class(&self) -> &'static str {
        match (self.route, self.mix) {
            (Route::Device { ordered: true, .. }, _) => "uplink, ordered parent",
            (Route::Device { .. }, Mix::One) => "uplink, QoS 1",
            (Route::Device { .. }, Mix::Two) => "uplink, QoS 2",
            (Route::Device { .. }, Mix::Both) => "uplink, QoS 1 and 2 mixed",
            (Route::State { .. }, _) => "retained",
            (Route::Churn { .. }, _) => "short-lived devices",
            (Route::Will { .. }, _) => "wills",
            (Route::Command { .. }, _) => "downlink, to a topic",
            (Route::Broadcast, _) => "downlink, to a filter",
        }
    }
}
