//! Conditions: set without touching the time of a transition that is none.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// The longest message of a condition, bytes (the API takes 32768).
const LONGEST: usize = 4000;

/// What a condition is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `Ready`, …
    pub kind: &'static str,
    /// `None`: unknown.
    pub holds: Option<bool>,
    /// One of the reasons in RESOURCES.
    pub reason: String,
    /// What is wrong and the way out, or what is so.
    pub message: String,
}

impl Wanted {
    /// A condition.
    pub fn new(
        kind: &'static str,
        holds: impl Into<Option<bool>>,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            holds: holds.into(),
            reason: reason.into(),
            message: message.into(),
        }
    }
}

/// The conditions as they are to be written; those that are not wanted go.
#[must_use]
pub fn set(before: &[Condition], wanted: &[Wanted], generation: Option<i64>) -> Vec<Condition> {
    let now = || {
        Time(
            Timestamp::now()
                .round(k8s_openapi::jiff::Unit::Second)
                .unwrap_or_default(),
        )
    };
    wanted
        .iter()
        .map(|wanted| {
            let status = match wanted.holds {
                Some(true) => "True",
                Some(false) => "False",
                None => "Unknown",
            };
            let same = before
                .iter()
                .find(|condition| condition.type_ == wanted.kind && condition.status == status);
            Condition {
                type_: wanted.kind.to_owned(),
                status: status.to_owned(),
                reason: wanted.reason.clone(),
                message: cut(&wanted.message),
                observed_generation: generation,
                last_transition_time: same.map_or_else(now, |c| c.last_transition_time.clone()),
            }
        })
        .collect()
}

fn cut(message: &str) -> String {
    let end = message
        .char_indices()
        .map(|(at, _)| at)
        .take_while(|at| *at <= LONGEST)
        .last()
        .unwrap_or_default();
    match message.len() > LONGEST {
        true => format!("{}…", message.get(..end).unwrap_or_default()),
        false => message.to_owned(),
    }
}

/// The status of the condition of this kind.
#[must_use]
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    conditions
        .iter()
        .any(|condition| condition.type_ == kind && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_of_the_last_change_of_status() {
        let ready = Wanted::new("Ready", false, "KafkaUnavailable", "no answer");
        let mut first = set(&[], std::slice::from_ref(&ready), Some(1));
        first[0].last_transition_time = Time(Timestamp::UNIX_EPOCH);
        let other = Wanted::new("Ready", false, "KafkaRejected", "no");
        let second = set(&first, &[other], Some(2));
        assert_eq!(second[0].last_transition_time.0, Timestamp::UNIX_EPOCH);
        assert_eq!(second[0].reason, "KafkaRejected");
        let third = set(
            &second,
            &[Wanted::new("Ready", true, "Created", "")],
            Some(2),
        );
        assert_ne!(third[0].last_transition_time.0, Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn a_message_of_any_length_fits() {
        let wanted = Wanted::new("Ready", None, "X", "ä".repeat(40_000));
        assert!(set(&[], &[wanted], None)[0].message.len() < 32_768);
    }
}
