//! Which of several resources that name the same thing in Kafka has it: the oldest.
//!
//! Kubernetes counts seconds. Of two made in the same one, whoever is served already keeps what it has;
//! only between two that are both new, or both served, does the uid decide.

use kube::Resource;

use crate::instance::MqttInstance;
use crate::parent_topic::ParentTopic;
use crate::user::MqttUser;

/// How old a resource is: of two, the lesser is the older.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age {
    /// When it was made, seconds since 1970.
    second: i64,
    /// It has nothing in Kafka yet.
    waits: bool,
    uid: String,
}

impl Age {
    /// Of a resource.
    #[must_use]
    pub fn of<K: Resource + Serves>(resource: &K) -> Self {
        let meta = resource.meta();
        let made = meta.creation_timestamp.as_ref();
        Self {
            second: made.map_or(0, |made| made.0.as_second()),
            waits: !resource.serves(),
            uid: meta.uid.clone().unwrap_or_default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn at(second: i64, uid: &str) -> Self {
        Self {
            second,
            waits: true,
            uid: uid.to_owned(),
        }
    }
}

/// A resource that has something in Kafka.
pub trait Serves {
    /// Whether its status says so.
    fn serves(&self) -> bool;
}

impl Serves for MqttInstance {
    fn serves(&self) -> bool {
        let kafka = self.status.as_ref().and_then(|s| s.kafka.as_ref());
        kafka.is_some_and(|kafka| kafka.topics.is_some())
    }
}

impl Serves for ParentTopic {
    fn serves(&self) -> bool {
        let status = self.status.as_ref();
        status.is_some_and(|status| status.topic_id.is_some())
    }
}

impl Serves for MqttUser {
    fn serves(&self) -> bool {
        let status = self.status.as_ref();
        status.is_some_and(|status| status.username.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn topic(uid: &str, second: u8, status: &serde_json::Value) -> ParentTopic {
        serde_json::from_value(json!({
            "apiVersion": "mqtt.isthmus.dev/v1alpha1", "kind": "ParentTopic",
            "metadata": {
                "name": "t", "uid": uid, "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
            },
            "spec": {"instanceRef": {"name": "plant"}}, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn whoever_is_served_keeps_it_against_one_of_the_same_second() {
        let new = json!({"observedGeneration": -1});
        let served = json!({"topicId": "x"});
        let age = |uid, second, status: &_| Age::of(&topic(uid, second, status));
        assert!(age("b", 1, &served) < age("a", 1, &new));
        assert!(age("a", 1, &new) < age("b", 1, &new));
        assert!(age("a", 1, &served) < age("b", 1, &served));
        assert!(age("b", 0, &new) < age("a", 1, &served));
    }
}
