//! Topic names and filters (4.7).

use isthmus_tests::unique;

use crate::bytes;
use crate::wire::Wire;
use crate::{EVERY, NUMBERED, V5};

/// Filters below a root, and which of the names below are theirs.
const NAMES: [&str; 11] = [
    "", "/", "/a", "/a/", "/a/b", "/a/b/c", "/b", "//", "//b", "/$a", "/a b/ü",
];
const FILTERS: [(&str, &[&str]); 14] = [
    ("", &[""]),
    ("/#", &NAMES),
    ("/+", &["/", "/a", "/b", "/$a"]),
    ("/+/+", &["/a/", "/a/b", "//", "//b", "/a b/ü"]),
    ("/a", &["/a"]),
    ("/a/#", &["/a", "/a/", "/a/b", "/a/b/c"]),
    ("/a/+", &["/a/", "/a/b"]),
    ("/+/b", &["/a/b", "//b"]),
    ("/+/b/#", &["/a/b", "/a/b/c", "//b"]),
    ("/+/+/c", &["/a/b/c"]),
    ("//", &["//"]),
    ("//#", &["/", "//", "//b"]),
    ("/a/b/c/#", &["/a/b/c"]),
    (
        "/+/#",
        &[
            "/", "/a", "/a/", "/a/b", "/a/b/c", "/b", "//", "//b", "/$a", "/a b/ü",
        ],
    ),
];

/// Conformance 3.1.1: 3.3.2-3, 3.8.3-2, 4.7.1-2, 4.7.1-3, 4.5.0-1
/// Conformance 5: 3.3.2-3, 4.7.1-1, 4.7.1-2, 4.5.0-1
/// Conformance 3.1: flows
#[test]
fn a_filter_matches_its_names_and_no_others() {
    for version in EVERY {
        let (root, end) = (unique("t"), unique("end"));
        let mut subscribers: Vec<Wire> = FILTERS
            .iter()
            .map(|(filter, _)| {
                let mut wire = Wire::client(version);
                wire.subscribe(&format!("{root}{filter}"), 1);
                wire.subscribe(&end, 1);
                wire
            })
            .collect();
        let mut publisher = Wire::client(version);
        for name in NAMES {
            publisher.publish(&format!("{root}{name}"), name, 1);
        }
        publisher.publish(&end, "end", 1);
        for ((filter, expected), wire) in FILTERS.iter().zip(&mut subscribers) {
            let messages = std::iter::from_fn(|| Some(wire.message()));
            let messages: Vec<_> = messages.take_while(|m| m.topic() != end).collect();
            for message in &messages {
                assert_eq!(message.topic(), format!("{root}{}", message.text()));
            }
            let names: Vec<_> = messages.iter().map(|message| message.text()).collect();
            assert_eq!(names, *expected, "{filter}");
        }
    }
}

/// Conformance 3.1.1: 4.7.2-1
/// Conformance 5: 4.7.2-1
#[test]
fn a_wildcard_at_the_first_level_does_not_match_a_dollar() {
    for version in EVERY {
        let (name, end) = (unique("t"), unique("end"));
        for (filter, topics) in [
            ("#".to_owned(), [&*name, &format!("$x/{name}")]),
            (
                format!("+/{name}"),
                [&format!("x/{name}"), &format!("$x/{name}")],
            ),
            (
                format!("$x/+/{name}"),
                [&format!("$x/a/{name}"), &format!("x/a/{name}")],
            ),
            (
                format!("$x/{name}/#"),
                [&format!("$x/{name}"), &format!("x/{name}")],
            ),
        ] {
            let mut wire = Wire::client(version);
            // # last: what comes of it is read below.
            wire.subscribe(&end, 1);
            wire.subscribe(&filter, 1);
            let mut publisher = Wire::client(version);
            for topic in topics {
                publisher.publish(topic, &name, 1);
            }
            publisher.publish(&end, &end, 1);
            // The messages of other tests come to # as well.
            let messages = std::iter::from_fn(|| Some(wire.message()));
            let messages = messages.take_while(|message| message.topic() != end);
            let ours: Vec<_> = messages
                .filter(|message| message.payload() == name.as_bytes())
                .map(|message| message.topic().to_owned())
                .collect();
            assert_eq!(ours, [topics[0]], "{filter}");
        }
    }
}

/// Conformance 3.1.1: 4.7.1-2, 4.7.1-3, 4.8.0-1
/// Conformance 5: 4.7.1-1, 4.7.1-2
#[test]
fn a_misplaced_wildcard_is_refused() {
    for version in NUMBERED {
        let root = unique("t");
        for wrong in [
            "#/a", "/#/a", "a#", "/a#", "##", "/+a", "/a+", "/a+/b", "/++", "/+#", "/#+",
        ] {
            let filter = format!("{root}{wrong}");
            let mut wire = Wire::client(version);
            wire.send(bytes::subscribe(version, 1, &[(&filter, 1)]));
            if version == V5 {
                assert_eq!(wire.expect(9).codes(), [0x8F], "{wrong}");
                // It is no subscription, to nothing that it may seem to mean.
                let mut publisher = Wire::client(V5);
                for name in ["", "a", "/a", "/a/b", "/b", "/a/a"] {
                    publisher.publish(&format!("{root}{name}"), "never", 1);
                }
                let end = unique("end");
                wire.subscribe(&end, 1);
                publisher.publish(&end, "end", 1);
                assert_eq!(wire.message().text(), "end", "{wrong}");
            } else {
                assert_eq!(wire.ended(), None, "{wrong}");
            }
        }
    }
}
