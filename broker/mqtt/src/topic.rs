//! Topic Names and Topic Filters (section 4.7): what is legal and what matches. No allocation.

/// Why a string is not a legal Topic Name or Topic Filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// [MQTT-4.7.3-1]
    #[error("a topic has at least one character")]
    Empty,
    /// [MQTT-4.7.3-3]
    #[error("a topic has at most 65,535 bytes")]
    TooLong,
    /// [MQTT-4.7.3-2]
    #[error("a topic holds no null character")]
    NullCharacter,
    /// [MQTT-3.3.2-2]
    #[error("a Topic Name holds no wildcard")]
    WildcardInName,
    /// [MQTT-4.7.1-1]: `#` is the whole last level. [MQTT-4.7.1-2]: `+` is a whole level.
    #[error("a wildcard is a whole level, `#` the last one")]
    MisplacedWildcard,
    /// [MQTT-4.8.2-1], [MQTT-4.8.2-2]: `$share/` is followed by a name without wildcard, `/` and
    /// a filter.
    #[error("a shared subscription is `$share/`, a name, `/` and a filter")]
    SharedSubscription,
}

const SHARE: &str = "$share/";

/// Whether a message can be published to this.
///
/// # Errors
/// The first rule that the string breaks.
pub fn validate_name(name: &str) -> Result<(), TopicError> {
    validate_string(name)?;
    if name.bytes().any(|byte| matches!(byte, b'+' | b'#')) {
        return Err(TopicError::WildcardInName);
    }
    Ok(())
}

/// Whether this can be subscribed to, as a plain or a shared subscription.
///
/// # Errors
/// The first rule that the string breaks.
pub fn validate_filter(filter: &str) -> Result<(), TopicError> {
    validate_string(filter)?;
    match filter.strip_prefix(SHARE) {
        None => validate_levels(filter),
        Some(shared) => match shared.split_once('/') {
            Some((group, inner)) if is_group(group) && !inner.is_empty() => validate_levels(inner),
            _ => Err(TopicError::SharedSubscription),
        },
    }
}

/// The group and the inner filter of a shared subscription; `None` for a plain filter and for a
/// shared one that [`validate_filter`] refuses for its form.
#[must_use]
pub fn parse_shared(filter: &str) -> Option<(&str, &str)> {
    filter
        .strip_prefix(SHARE)?
        .split_once('/')
        .filter(|(group, inner)| is_group(group) && !inner.is_empty())
}

/// Whether a message published to `name` is due to a subscription of `filter`. Both are legal;
/// the filter of a shared subscription is its inner one.
///
/// `a/#` matches `a` (section 4.7.1.2), and a wildcard at the first level does not match a name
/// that starts with `$` ([MQTT-4.7.2-1]).
#[must_use]
pub fn matches(filter: &str, name: &str) -> bool {
    if name.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filter, mut name) = (filter.as_bytes(), name.as_bytes());
    loop {
        match (filter, name) {
            ([b'#', ..], _) | ([b'/', b'#'] | [], []) => return true,
            ([b'+', after @ ..], _) => {
                filter = after;
                while let [byte, rest @ ..] = name
                    && *byte != b'/'
                {
                    name = rest;
                }
            }
            ([wanted, after @ ..], [found, rest @ ..]) if wanted == found => {
                filter = after;
                name = rest;
            }
            _ => return false,
        }
    }
}

fn is_group(group: &str) -> bool {
    !group.is_empty() && !group.contains(['+', '#'])
}

fn validate_string(topic: &str) -> Result<(), TopicError> {
    if topic.is_empty() {
        return Err(TopicError::Empty);
    }
    if topic.len() > usize::from(u16::MAX) {
        return Err(TopicError::TooLong);
    }
    if topic.as_bytes().contains(&0) {
        return Err(TopicError::NullCharacter);
    }
    Ok(())
}

fn validate_levels(filter: &str) -> Result<(), TopicError> {
    let mut levels = filter.split('/');
    while let Some(level) = levels.next() {
        let legal = match level {
            "+" => true,
            "#" => levels.next().is_none(),
            _ => !level.contains(['+', '#']),
        };
        if !legal {
            return Err(TopicError::MisplacedWildcard);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in [
            "a",
            "/",
            "//",
            "a b",
            "$SYS/x",
            "/finance",
            "ü/€",
            "$share/a/b",
        ] {
            assert_eq!(validate_name(name), Ok(()), "{name}");
        }
        assert_eq!(validate_name(""), Err(TopicError::Empty)); // [MQTT-4.7.3-1]
        assert_eq!(validate_name("a\0"), Err(TopicError::NullCharacter)); // [MQTT-4.7.3-2]
        assert_eq!(validate_name(&"a".repeat(65_535)), Ok(()));
        assert_eq!(validate_name(&"a".repeat(65_536)), Err(TopicError::TooLong)); // [MQTT-4.7.3-3]
        for name in ["+", "#", "a/+", "a#", "a+b"] {
            assert_eq!(
                validate_name(name),
                Err(TopicError::WildcardInName),
                "{name}"
            );
        }
    }

    #[test]
    fn filters() {
        for filter in [
            "#", "+", "a/#", "+/+/#", "/+", "+/", "a//b", "$SYS/#", "$share", "/#",
        ] {
            assert_eq!(validate_filter(filter), Ok(()), "{filter}");
        }
        for filter in [
            "a#", "#/a", "a/#/b", "a+", "+a/b", "a/b+", "##", "++", "a/#/",
        ] {
            let found = validate_filter(filter);
            assert_eq!(found, Err(TopicError::MisplacedWildcard), "{filter}"); // [MQTT-4.7.1-1], -2
        }
        assert_eq!(validate_filter(""), Err(TopicError::Empty));
        assert_eq!(validate_filter("a/\0"), Err(TopicError::NullCharacter));
    }

    #[test]
    fn shared_filters() {
        for (filter, parts) in [
            ("$share/g/a", ("g", "a")),
            ("$share/g/#", ("g", "#")),
            ("$share/g//", ("g", "/")),
            ("$share/consumer/a/+/b", ("consumer", "a/+/b")),
        ] {
            assert_eq!(validate_filter(filter), Ok(()), "{filter}");
            assert_eq!(parse_shared(filter), Some(parts), "{filter}");
        }
        for filter in [
            "$share/",
            "$share/g",
            "$share/g/",
            "$share//a",
            "$share/+/a",
            "$share/g#/a",
        ] {
            let found = validate_filter(filter);
            assert_eq!(found, Err(TopicError::SharedSubscription), "{filter}"); // [MQTT-4.8.2-1], -2
            assert_eq!(parse_shared(filter), None, "{filter}");
        }
        let found = validate_filter("$share/g/a#");
        assert_eq!(found, Err(TopicError::MisplacedWildcard));
        assert_eq!(parse_shared("a/b"), None);
        assert_eq!(parse_shared("$share"), None);
    }

    #[test]
    fn matching_of_section_4_7() {
        let player = "sport/tennis/player1";
        for (filter, name, expected) in [
            ("sport/tennis/player1/#", player, true),
            (
                "sport/tennis/player1/#",
                "sport/tennis/player1/ranking",
                true,
            ),
            (
                "sport/tennis/player1/#",
                "sport/tennis/player1/score/wimbledon",
                true,
            ),
            ("sport/#", "sport", true),
            ("sport/#", "sports", false),
            ("#", player, true),
            ("sport/tennis/+", player, true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("+", "finance", true),
            ("a/b", "a/b", true),
            ("a/b", "A/b", false),
            ("a", "a/b", false),
            ("a/b", "a", false),
            ("+/b/#", "a/b", true),
            ("/#", "/", true),
            ("/#", "a", false),
        ] {
            assert_eq!(matches(filter, name), expected, "{filter} {name}");
        }
    }

    /// [MQTT-4.7.2-1]
    #[test]
    fn leading_wildcards_do_not_match_dollar_topics() {
        for (filter, name, expected) in [
            ("#", "$SYS/a", false),
            ("+/a", "$SYS/a", false),
            ("+", "$SYS", false),
            ("$SYS/#", "$SYS/a", true),
            ("$SYS/#", "$SYS", true),
            ("$SYS/+", "$SYS/a", true),
            ("a/+", "a/$b", true),
        ] {
            assert_eq!(matches(filter, name), expected, "{filter} {name}");
        }
    }
}
