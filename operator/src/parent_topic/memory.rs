//! What must be remembered of a parent topic over restarts of the operator, in its annotations: nobody
//! else knows it, and the status says what is so, not what was asked.

use std::collections::BTreeSet;

use isthmus_kafka::provision::{Ensured, Outcome};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::resource::ParentTopic;

/// Which configs the resource named when they were last applied.
const NAMED: &str = "mqtt.isthmus.dev/configs";
/// The id of the topic that was there before the resource.
const ADOPTED: &str = "mqtt.isthmus.dev/adopted";

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// The configs that were applied: those that are named no more go back to the cluster's own.
    pub(super) configs: BTreeSet<String>,
    /// The id of the topic that was adopted.
    pub(super) adopted: Option<String>,
}

impl Memory {
    /// Of a resource.
    #[must_use]
    pub(super) fn of(parent: &ParentTopic) -> Self {
        let annotation = |name| parent.annotations().get(name);
        let configs = annotation(NAMED).map(String::as_str).unwrap_or_default();
        let configs = configs.split(',').filter(|name| !name.is_empty());
        Self {
            configs: configs.map(str::to_owned).collect(),
            adopted: annotation(ADOPTED).cloned(),
        }
    }

    /// After these configs were applied.
    #[must_use]
    pub(super) fn after(&self, configs: BTreeSet<String>, done: &Ensured) -> Self {
        let adopted = match done.outcome {
            Outcome::Adopted => Some(done.state.topic_id.clone()),
            Outcome::Created => None,
            Outcome::Changed | Outcome::Unchanged => self.adopted.clone(),
        };
        Self { configs, adopted }
    }

    /// The merge patch that writes it.
    #[must_use]
    pub(super) fn patch(&self) -> Value {
        let configs: Vec<&str> = self.configs.iter().map(String::as_str).collect();
        let configs = (!configs.is_empty()).then(|| configs.join(","));
        json!({"metadata": {"annotations": {NAMED: configs, ADOPTED: self.adopted}}})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let memory = |configs: &[&str], adopted: Option<&str>| Memory {
            configs: configs.iter().map(|&name| name.to_owned()).collect(),
            adopted: adopted.map(str::to_owned),
        };
        for memory in [
            memory(&[], None),
            memory(&["retention.ms", "segment.ms"], Some("AAAA")),
        ] {
            let mut object = json!({
                "apiVersion": "mqtt.isthmus.dev/v1alpha1", "kind": "ParentTopic",
                "metadata": {"name": "t"}, "spec": {"instanceRef": {"name": "plant"}},
            });
            let patched = memory.patch()["metadata"]["annotations"].clone();
            // A merge patch takes out what is null.
            let kept = patched.as_object().unwrap().iter();
            let kept: serde_json::Map<_, _> = kept
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            object["metadata"]["annotations"] = kept.into();
            let parent: ParentTopic = serde_json::from_value(object).unwrap();
            assert_eq!(Memory::of(&parent), memory);
        }
    }
}
