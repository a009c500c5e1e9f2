//! Allow rules, as `MqttUser` and `spec.authentication.anonymousAcl` list them.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, FieldPath};

/// One allow rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AclRule {
    /// A topic filter; `%u` and `%c` stand for username and clientId. Not `$share/…`: a shared
    /// subscription is allowed by a rule for the filter inside it.
    #[schemars(length(min = 1, max = 4096))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": FILTER_CEL, "message": FILTER_MESSAGE},
        {"rule": SHARE_CEL, "message": SHARE_MESSAGE},
    ]))]
    pub topic: String,
    /// What is allowed: `pub`, `sub` or both.
    #[serde(default)]
    pub action: Action,
}

/// What an ACL rule allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Action {
    /// Publish and subscribe.
    #[default]
    PubSub,
    /// Publish.
    Pub,
    /// Subscribe.
    Sub,
}

const FILTER_CEL: &str = r"self.matches('^(([^+#/\\x00]*|[+])/)*([^+#/\\x00]*|[+]|#)$')";
const FILTER_MESSAGE: &str =
    "is not a topic filter: + must fill a whole level, # must be the whole last level";
const SHARE_CEL: &str = "!self.startsWith('$share/')";
const SHARE_MESSAGE: &str =
    "write the filter inside $share/<group>/: it allows the shared subscription too";

/// All faults of a list of rules.
pub fn validate(rules: &[AclRule], path: &FieldPath, faults: &mut Vec<Fault>) {
    let mut seen = HashSet::new();
    for (at, rule) in rules.iter().enumerate() {
        let path = path.index(at);
        if !legal_filter(&rule.topic) {
            faults.push(Fault::new(
                path.key("topic"),
                format!("{:?} {FILTER_MESSAGE}", rule.topic),
            ));
        }
        if rule.topic.starts_with("$share/") {
            faults.push(Fault::new(path.key("topic"), SHARE_MESSAGE));
        }
        if !seen.insert((&rule.topic, rule.action)) {
            faults.push(Fault::new(
                path,
                "the same topic and action stand in the list before",
            ));
        }
    }
}

/// [MQTT-4.7.1-1], [MQTT-4.7.1-2]
fn legal_filter(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    if filter.is_empty() || filter.contains('\0') {
        return false;
    }
    while let Some(level) = levels.next() {
        let wild = level.contains(['+', '#']);
        let alone = level == "+" || (level == "#" && levels.peek().is_none());
        if wild && !alone {
            return false;
        }
    }
    true
}

/// As the broker reads them.
#[must_use]
pub fn build(rules: &[AclRule]) -> Vec<isthmus_config::AclRule> {
    rules
        .iter()
        .map(|rule| isthmus_config::AclRule {
            topic: rule.topic.clone(),
            action: match rule.action {
                Action::PubSub => isthmus_config::Action::PubSub,
                Action::Pub => isthmus_config::Action::Pub,
                Action::Sub => isthmus_config::Action::Sub,
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(topics: &[&str]) -> Vec<String> {
        let rules: Vec<_> = topics
            .iter()
            .map(|topic| AclRule {
                topic: (*topic).to_owned(),
                action: Action::Pub,
            })
            .collect();
        let mut faults = Vec::new();
        validate(&rules, &FieldPath::of("spec.acl"), &mut faults);
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn legal_filters_are_accepted() {
        let legal = [
            "a",
            "/",
            "#",
            "+",
            "a/#",
            "+/b/#",
            "topic-1/%c/#",
            "a//b",
            "$SYS/#",
            "$shared",
        ];
        assert_eq!(faults(&legal), Vec::<String>::new());
    }

    #[test]
    fn illegal_filters_are_refused_with_their_place() {
        for topic in ["", "a+", "a/b#", "#/a", "a/+b/c", "a/##", "\0"] {
            let found = faults(&["ok", topic]);
            assert_eq!(
                found,
                [format!("spec.acl[1].topic: {topic:?} {FILTER_MESSAGE}")]
            );
        }
    }

    #[test]
    fn shared_subscriptions_are_allowed_by_their_inner_filter() {
        assert_eq!(
            faults(&["$share/g/a"]),
            [format!("spec.acl[0].topic: {SHARE_MESSAGE}")]
        );
    }

    #[test]
    fn a_rule_stands_once() {
        assert_eq!(
            faults(&["a", "b", "a"]),
            ["spec.acl[2]: the same topic and action stand in the list before"]
        );
    }
}
