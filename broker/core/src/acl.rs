//! Who may publish and subscribe where: a user's allow-list, bound to one client (contract
//! section 6, ruling 17). No match means no.

use isthmus_mqtt::topic;

/// What a rule allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Publish.
    Pub,
    /// Subscribe.
    Sub,
    /// Both.
    PubSub,
}

/// The rules of one connected client, `%u` and `%c` filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl {
    publish: Vec<Box<str>>,
    subscribe: Vec<Box<str>>,
}

impl Acl {
    /// Binds rules to a client. A rule whose `%u` or `%c` stands for a value with `+`, `#` or `/`
    /// matches nothing, so that no client can widen its rights by its name.
    pub fn bind<'a>(
        rules: impl IntoIterator<Item = (&'a str, Action)>,
        username: &str,
        client_id: &str,
    ) -> Self {
        let mut acl = Self::default();
        for (filter, action) in rules {
            let Some(filter) = fill(filter, "%u", username).and_then(|f| fill(&f, "%c", client_id))
            else {
                continue;
            };
            let filter: Box<str> = filter.into();
            if action != Action::Sub {
                acl.publish.push(filter.clone());
            }
            if action != Action::Pub {
                acl.subscribe.push(filter);
            }
        }
        acl
    }

    /// Whether a message may be published to this Topic Name.
    #[must_use]
    pub fn may_publish(&self, name: &str) -> bool {
        self.publish.iter().any(|rule| topic::matches(rule, name))
    }

    /// Whether a rule covers the whole filter; of a shared subscription the inner filter counts.
    #[must_use]
    pub fn may_subscribe(&self, filter: &str) -> bool {
        let filter = topic::parse_shared(filter).map_or(filter, |(_, inner)| inner);
        self.subscribe.iter().any(|rule| covers(rule, filter))
    }
}

/// Replaces a placeholder; `None` when its value could act as a filter.
fn fill(filter: &str, placeholder: &str, value: &str) -> Option<String> {
    if !filter.contains(placeholder) {
        return Some(filter.to_owned());
    }
    let safe = !value.is_empty() && !value.contains(['+', '#', '/']);
    safe.then(|| filter.replace(placeholder, value))
}

/// Whether every Topic Name that `filter` matches is matched by `rule`.
fn covers(rule: &str, filter: &str) -> bool {
    let first = |f: &str| f.split('/').next().map(str::to_owned).unwrap_or_default();
    let wild = |level: &str| level == "+" || level == "#";
    if wild(&first(rule)) && first(filter).starts_with('$') {
        return false;
    }
    let mut rules = rule.split('/');
    let mut filters = filter.split('/');
    loop {
        match (rules.next(), filters.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(rule), Some(level)) if rule == level => {}
            // `a/#` matches `a` itself (section 4.7.1.2); `a` does not cover `a/#`.
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(rules: &[(&str, Action)]) -> Acl {
        Acl::bind(rules.iter().copied(), "alice", "dev-1")
    }

    #[test]
    fn no_rule_means_no() {
        assert!(!Acl::default().may_publish("a"));
        assert!(!Acl::default().may_subscribe("a"));
    }

    #[test]
    fn actions_are_apart() {
        let acl = acl(&[
            ("p/#", Action::Pub),
            ("s/#", Action::Sub),
            ("b/#", Action::PubSub),
        ]);
        assert!(acl.may_publish("p/x") && !acl.may_subscribe("p/x"));
        assert!(acl.may_subscribe("s/x") && !acl.may_publish("s/x"));
        assert!(acl.may_subscribe("b/x") && acl.may_publish("b/x"));
    }

    #[test]
    fn a_rule_covers_the_whole_filter() {
        for (rule, filter, yes) in [
            ("a/#", "a/b/+", true),
            ("a/#", "a", true),
            ("a/#", "a/#", true),
            ("a/+", "a/b", true),
            ("a/+", "a/+", true),
            ("a/+", "a/#", false),
            ("a/+", "a", false),
            ("a/b", "a/+", false),
            ("a", "a/#", false),
            ("#", "#", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/#", "$share/g/a/b", true),
            ("a/#", "$share/g/b", false),
        ] {
            assert_eq!(
                acl(&[(rule, Action::Sub)]).may_subscribe(filter),
                yes,
                "{rule} {filter}"
            );
        }
    }

    #[test]
    fn placeholders_stand_for_one_plain_level() {
        let rules = [("u/%u/c/%c/#", Action::PubSub)];
        assert!(acl(&rules).may_publish("u/alice/c/dev-1/x"));
        for (user, client) in [("a/b", "c"), ("a", "+"), ("a", "#"), ("", "c")] {
            let acl = Acl::bind(rules, user, client);
            assert!(
                !acl.may_subscribe(&format!("u/{user}/c/{client}/x")),
                "{user} {client}"
            );
        }
    }
}
