//! Retained messages (3.3.1.3).
//!
//! What a new subscription brings is asked for together with a mark: a retained message of a topic
//! of its own, whose filter stands last in the SUBSCRIBE.

use isthmus_tests::unique;

use crate::bytes::{self, Connect, Publish};
use crate::packet::Packet;
use crate::wire::Wire;
use crate::{EVERY, V5};

/// Publishes with RETAIN.
fn retain(version: u8, topic: &str, payload: &str, qos: u8) {
    let publish = Publish {
        topic,
        payload,
        qos,
        retain: true,
        ..Publish::default()
    };
    Wire::client(version).publish_this(&publish);
}

/// A subscriber whose SUBSCRIBE packets all end with the mark.
struct Reader {
    wire: Wire,
    mark: String,
}

impl Reader {
    fn new(version: u8) -> Self {
        let mark = unique("mark");
        retain(version, &mark, "mark", 1);
        Self {
            wire: Wire::client(version),
            mark,
        }
    }

    /// Subscribes with these options; the messages that come of it.
    fn replayed(&mut self, version: u8, filter: &str, options: u8) -> Vec<Packet> {
        let id = self.wire.new_id();
        self.wire.send(bytes::subscribe(
            version,
            id,
            &[(filter, options), (&self.mark, 1)],
        ));
        assert_eq!(self.wire.expect(9).codes(), [options & 3, 1]);
        let messages = std::iter::from_fn(|| Some(self.wire.message()));
        messages
            .take_while(|message| message.topic() != self.mark)
            .collect()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        retain(V5, &self.mark, "", 1);
    }
}

/// What a new subscription to this filter brings: payload and QoS.
fn replays(version: u8, filter: &str) -> Vec<(String, u8)> {
    let messages = Reader::new(version).replayed(version, filter, 2);
    assert!(messages.iter().all(Packet::retain), "{messages:?}");
    assert!(messages.iter().all(|message| !message.dup()));
    messages
        .iter()
        .map(|message| (message.text(), message.qos()))
        .collect()
}

/// Conformance 3.1.1: 3.3.1-5, 3.3.1-6, 3.3.1-7, 3.3.1-8, 3.3.1-9, 3.3.1-10, 3.3.1-11, 3.3.1-12
/// Conformance 3.1.1: 3.8.4-6
/// Conformance 5: 3.3.1-5, 3.3.1-6, 3.3.1-7, 3.3.1-8, 3.3.1-9, 3.3.1-12, 3.8.4-8
/// Conformance 3.1: flows
#[test]
fn the_last_retained_message_of_a_topic_is_kept_for_new_subscriptions() {
    for version in EVERY {
        let topic = unique("t");
        let (a, b) = (format!("{topic}/a"), format!("{topic}/b"));
        let mut online = Wire::client(version);
        online.subscribe(&format!("{topic}/#"), 2);
        let both = format!("{topic}/+");
        for qos in 0..3 {
            for before in 0..3 {
                retain(version, &a, "before", before);
                retain(version, &a, "last", qos);
                assert_eq!(replays(version, &a), [("last".to_owned(), qos)]);
                // Without RETAIN nothing changes, with an empty payload neither.
                for payload in ["passing", ""] {
                    Wire::client(version).publish(&a, payload, qos);
                    assert_eq!(replays(version, &a), [("last".to_owned(), qos)]);
                }
                retain(version, &b, "other", 1);
                let mut found = replays(version, &both);
                found.sort();
                assert_eq!(found, [("last".to_owned(), qos), ("other".to_owned(), 1)]);
                // An empty one removes; it is delivered, and not kept itself.
                for topic in [&a, &b, &b] {
                    retain(version, topic, "", qos);
                }
                assert_eq!(replays(version, &both), []);
                // To whom has subscribed before they are messages like any other.
                for text in ["before", "last", "passing", "", "other", "", "", ""] {
                    let message = online.message();
                    assert_eq!((message.text().as_str(), message.retain()), (text, false));
                }
            }
        }
        assert_eq!(online.fence(), []);
        // The subscription's QoS counts.
        retain(version, &a, "low", 2);
        for options in 0..3 {
            let messages = Reader::new(version).replayed(version, &a, options);
            assert_eq!(
                messages.iter().map(Packet::qos).collect::<Vec<_>>(),
                [options]
            );
        }
        retain(version, &a, "", 2);
    }
}

/// Conformance 3.1.1: 3.1.2-7
#[test]
fn retained_messages_outlive_their_session() {
    for version in EVERY {
        let (id, topic) = (unique("c"), unique("t"));
        let mut publisher = Wire::connect(&Connect::new(version, &id));
        let publish = Publish {
            topic: &topic,
            payload: "kept",
            qos: 1,
            retain: true,
            ..Publish::default()
        };
        publisher.publish_this(&publish);
        publisher.disconnect();
        Wire::connect(&Connect::new(version, &id)).vanish();
        assert_eq!(replays(version, &topic), [("kept".to_owned(), 1)]);
        retain(version, &topic, "", 1);
    }
}

/// Conformance 3.1.1: 3.8.4-3, 3.3.1-6
/// Conformance 5: 3.8.4-4, 3.3.1-9
#[test]
fn a_repeated_subscription_brings_the_retained_message_again() {
    for version in EVERY {
        let topic = unique("t");
        retain(version, &topic, "kept", 2);
        let mut reader = Reader::new(version);
        for options in [2, 2, 0, 1] {
            let messages = reader.replayed(version, &topic, options);
            assert_eq!(
                messages.iter().map(Packet::qos).collect::<Vec<_>>(),
                [options]
            );
        }
        retain(version, &topic, "", 2);
    }
}

/// Conformance 5: 3.3.1-9, 3.3.1-10, 3.3.1-11
#[test]
fn retain_handling_says_whether_they_come() {
    let topic = unique("t");
    retain(V5, &topic, "kept", 1);
    let mut reader = Reader::new(V5);
    let mut count = |handling: u8| reader.replayed(V5, &topic, 1 | handling << 4).len();
    assert_eq!(count(2), 0, "not at all");
    assert_eq!(count(1), 0, "the subscription exists");
    assert_eq!(count(0), 1);
    assert_eq!(count(0), 1);
    assert_eq!(count(2), 0);
    reader.wire.unsubscribe(&topic);
    let mut count = |handling: u8| reader.replayed(V5, &topic, 1 | handling << 4).len();
    assert_eq!(count(1), 1, "it is new");
    assert_eq!(count(1), 0);
    retain(V5, &topic, "", 1);
}

/// Conformance 5: 3.3.1-12, 3.3.1-13
#[test]
fn retain_as_published_says_how_they_are_forwarded() {
    let topic = unique("t");
    for qos in 0..3 {
        for (options, kept) in [(qos, false), (qos | 8, true)] {
            let mut subscriber = Wire::client(V5);
            // Nothing of what the last round left.
            subscriber.subscribe(&topic, options | 0x20);
            let mut publisher = Wire::client(V5);
            for retain in [true, false] {
                let publish = Publish {
                    topic: &topic,
                    payload: "x",
                    qos,
                    retain,
                    ..Publish::default()
                };
                publisher.publish_this(&publish);
                assert_eq!(subscriber.message().retain(), retain && kept);
            }
            // What a subscription brings has it in any case.
            let messages = Reader::new(V5).replayed(V5, &topic, options);
            assert!(messages.len() == 1 && messages[0].retain(), "{messages:?}");
        }
    }
    retain(V5, &topic, "", 1);
}
