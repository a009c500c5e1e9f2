//! PUBLISH (3.3) apart from retained messages: flags, topics, properties, aliases, expiry.

use std::time::Duration;

use isthmus_tests::{SOON, eventually, unique};

use crate::bytes::{self, Connect, PUBACK, PUBCOMP, PUBREC, PUBREL, Publish, packet, string};
use crate::wire::Wire;
use crate::{EVERY, NUMBERED, V5};

/// Conformance 3.1.1: 3.3.4-1, 4.3.1-1, 4.3.2-2, 3.3.1-3
/// Conformance 5: 3.3.4-1, 4.3.1-1, 4.3.2-4, 4.3.3-8, 3.3.1-3
/// Conformance 3.1: dup-hint, flows
#[test]
fn a_publish_is_answered_and_delivered_as_its_qos_says() {
    for version in EVERY {
        let topic = unique("t");
        let mut subscriber = Wire::client(version);
        subscriber.subscribe(&topic, 2);
        let mut wire = Wire::client(version);
        for qos in 0..3 {
            for dup in [false, true] {
                if dup && qos == 0 {
                    continue;
                }
                let publish = Publish {
                    topic: &topic,
                    payload: "x",
                    qos,
                    id: 9,
                    dup,
                    ..Publish::default()
                };
                wire.send(publish.bytes(version));
                match qos {
                    0 => assert_eq!(wire.fence(), []),
                    1 => wire.expect_bytes(bytes::ack(PUBACK, 9)),
                    _ => {
                        wire.expect_bytes(bytes::ack(PUBREC, 9));
                        wire.send(bytes::ack(PUBREL, 9));
                        wire.expect_bytes(bytes::ack(PUBCOMP, 9));
                    }
                }
                // The publisher's DUP is not the server's.
                let message = subscriber.message();
                assert_eq!((message.qos(), message.dup()), (qos, false));
                assert_eq!(subscriber.fence(), []);
            }
        }
    }
}

/// Conformance 3.1.1: 3.3.1-2, 3.3.1-4, 3.3.2-2, 4.7.1-1, 4.8.0-1
/// Conformance 5: 3.3.1-2, 3.3.1-4, 3.3.2-2, 3.3.2-8, 3.3.2-14, 3.3.4-6, 4.7.0-1, 4.13.1-1, 4.13.2-1
/// Conformance 5: 3.3.2-9, 3.2.2-17, 3.14.4-1, 3.14.4-2
#[test]
fn a_wrong_publish_closes_the_connection_and_reaches_nobody() {
    for version in NUMBERED {
        let none = bytes::properties(version, &[]);
        let topic = unique("t");
        let of = |first, name: &str| packet(first, [&string(name)[..], &[0, 1], &none].concat());
        let mut cases = vec![
            (of(0x36, &topic), 0x81, "QoS 3"),
            (of(0x3E, &topic), 0x81, "QoS 3 with DUP"),
            (of(0x38, &topic), 0x81, "DUP with QoS 0"),
            (of(0x32, &format!("{topic}/+")), 0x90, "+"),
            (of(0x32, &format!("{topic}/#")), 0x90, "#"),
            (of(0x32, &format!("{topic}a+")), 0x90, "+ within a level"),
            (packet(0x30, [0]), 0x81, "no topic"),
        ];
        if version == V5 {
            let with = |properties: &[u8]| Publish {
                topic: &topic,
                properties: properties.to_vec(),
                ..Publish::default()
            };
            let answers = [&[0x08][..], &string("answers/+")].concat();
            let wire = Wire::client(V5);
            let most = wire.welcome.unwrap().property(0x22).pop().unwrap();
            let most = u16::from_be_bytes([most[0], most[1]]);
            let above = [&[0x23][..], &(most + 1).to_be_bytes()].concat();
            cases.extend([
                (with(&[0x23, 0, 0]).bytes(V5), 0x94, "Topic Alias 0"),
                (
                    with(&above).bytes(V5),
                    0x94,
                    "Topic Alias above the maximum",
                ),
                (
                    with(&answers).bytes(V5),
                    0x82,
                    "wildcard in the Response Topic",
                ),
                (with(&[0x0B, 1]).bytes(V5), 0x82, "Subscription Identifier"),
            ]);
        }
        let mut watcher = Wire::client(version);
        watcher.subscribe("#", 1);
        for (packet, code, what) in cases {
            let mut wire = Wire::client(version);
            // Behind it stands what would be answered if the connection went on.
            wire.send(
                [
                    &packet[..],
                    &bytes::publish(version, &topic, "behind", 0, 0),
                ]
                .concat(),
            );
            let expected = (version == V5).then_some(code);
            assert_eq!(wire.ended(), expected, "{what}");
        }
        Wire::client(version).publish(&topic, "end", 1);
        let ours =
            std::iter::from_fn(|| Some(watcher.message())).find(|m| m.topic().starts_with(&topic));
        assert_eq!(ours.unwrap().text(), "end");
    }
}

/// Conformance 5: 3.2.2-15, 4.13.1-1
#[test]
fn a_packet_above_the_maximum_packet_size_closes_the_connection() {
    let mut wire = Wire::client(V5);
    let most = wire.welcome.as_ref().unwrap().property(0x27).pop().unwrap();
    let most = u32::from_be_bytes(most.try_into().unwrap());
    let size = usize::try_from(most).unwrap() - 3;
    assert_eq!(1 + bytes::integer(size).len() + size, most as usize + 1);
    wire.send([&[0x30][..], &bytes::integer(size), &string("t")].concat());
    assert_eq!(wire.ended(), Some(0x95));
}

/// Conformance 5: 3.3.2-7, 3.3.2-12
#[test]
fn topic_aliases_stand_for_topics_on_their_connection() {
    let topic = unique("t");
    let mut subscriber = Wire::client(V5);
    subscriber.subscribe(&format!("{topic}/#"), 1);
    let id = unique("c");
    let mut wire = Wire::connect(&Connect::kept(V5, &id));
    let most = wire.welcome.as_ref().unwrap().property(0x22).pop().unwrap();
    let most = u16::from_be_bytes([most[0], most[1]]);
    assert!(most > 1);
    let with = |alias: u16, topic: &str, payload: &str| {
        let properties = [&[0x23][..], &alias.to_be_bytes()].concat();
        Publish {
            topic,
            payload,
            properties,
            ..Publish::default()
        }
        .bytes(V5)
    };
    for alias in 1..=most {
        wire.send(with(alias, &format!("{topic}/{alias}"), "set"));
        assert_eq!(subscriber.message().topic(), format!("{topic}/{alias}"));
    }
    for alias in 1..=most {
        wire.send(with(alias, "", "used"));
        assert_eq!(subscriber.message().topic(), format!("{topic}/{alias}"));
    }
    wire.send(with(1, &format!("{topic}/new"), "set"));
    wire.send(with(1, "", "used"));
    assert_eq!(subscriber.message().topic(), format!("{topic}/new"));
    assert_eq!(subscriber.message().topic(), format!("{topic}/new"));
    // Another connection, of this session even, knows none of them.
    wire.disconnect();
    let mut wire = Wire::connect(&Connect::kept(V5, &id));
    assert!(wire.session_present());
    wire.send(with(1, "", "lost"));
    assert_eq!(wire.ended(), Some(0x82));
    assert_eq!(subscriber.fence(), []);
}

/// Conformance 5: 3.3.2-4, 3.3.2-15, 3.3.2-16, 3.3.2-17, 3.3.2-18, 3.3.2-20
#[test]
fn properties_are_forwarded_unaltered() {
    let topic = unique("t");
    let (id, mut online) = (unique("c"), Wire::client(V5));
    online.subscribe(&topic, 2);
    let mut offline = Wire::connect(&Connect::kept(V5, &id));
    offline.subscribe(&topic, 2);
    offline.disconnect();
    let user = |name: &str, value: &str| bytes::user_property(name, value);
    let users: Vec<_> = [
        ("b", "1"),
        ("a", "2"),
        ("b", "0"),
        ("", ""),
        ("\u{FEFF}é", "2"),
        ("a", "2"),
    ]
    .into();
    let sets = [
        vec![],
        vec![0x01, 0],
        vec![0x01, 1],
        [&[0x03][..], &string("text/plain; x=\"é\"")].concat(),
        [&[0x08][..], &string("answers/$x//é")].concat(),
        [&[0x09][..], &string([0, 1, 0xFF, 0xC3])].concat(),
        users
            .iter()
            .flat_map(|(name, value)| user(name, value))
            .collect(),
    ];
    let all = sets[2..].concat();
    for qos in 0..3 {
        for set in sets.iter().chain([&all]) {
            let publish = Publish {
                topic: &topic,
                payload: "x",
                qos,
                properties: set.clone(),
                ..Publish::default()
            };
            Wire::client(V5).publish_this(&publish);
        }
    }
    // From memory, and from what was stored.
    let mut offline = Wire::connect(&Connect::kept(V5, &id));
    for qos in 0..3 {
        for set in sets.iter().chain([&all]) {
            let sent = values(set);
            let mut found = vec![online.message()];
            if qos > 0 {
                found.push(offline.message());
            }
            for found in found {
                for property in [0x01, 0x03, 0x08, 0x09, 0x26] {
                    let of = |(id, value): &(u8, Vec<u8>)| (*id == property).then(|| value.clone());
                    let expected: Vec<_> = sent.iter().filter_map(of).collect();
                    assert_eq!(found.property(property), expected, "{property:#x}");
                }
                assert_eq!(found.properties().len(), sent.len());
            }
        }
    }
}

/// The properties of a section that was made above.
fn values(mut section: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let [id, rest @ ..] = section {
        let string = |at: usize| 2 + usize::from(u16::from_be_bytes([rest[at], rest[at + 1]]));
        let length = match id {
            0x01 => 1,
            0x26 => string(0) + string(string(0)),
            _ => string(0),
        };
        found.push((*id, rest[..length].to_vec()));
        section = &rest[length..];
    }
    found
}

/// Conformance 5: 3.3.2-5, 3.3.2-6, 4.3.3-7, 4.3.3-13
#[test]
fn messages_expire_while_they_wait_and_not_once_they_are_sent() {
    let topic = unique("t");
    let expiring = |payload, seconds: u8, qos| Publish {
        topic: &topic,
        payload,
        qos,
        properties: vec![0x02, 0, 0, 0, seconds],
        ..Publish::default()
    };
    let id = unique("c");
    // One message at a time, so that what follows the first waits.
    let connect = Connect::kept(V5, &id).with(&[0x21, 0, 1]);
    let mut subscriber = Wire::connect(&connect);
    subscriber.subscribe(&topic, 2);
    let mut publisher = Wire::client(V5);
    publisher.publish_this(&expiring("sent", 2, 2));
    publisher.publish_this(&expiring("short", 2, 2));
    publisher.publish_this(&expiring("long", 100, 1));
    publisher.publish(&topic, "end", 1);
    let sent = subscriber.expect(3);
    assert_eq!(sent.property(0x02), [[0, 0, 0, 2]]);
    let start = std::time::Instant::now();
    eventually("two seconds pass", SOON, || {
        (start.elapsed() > Duration::from_millis(2600)).then_some(())
    });
    // It was sent: the handshake is taken up again where it was.
    subscriber.vanish();
    let mut subscriber = Wire::connect(&connect);
    let again = subscriber.expect(3);
    assert_eq!(
        (again.text(), again.id(), again.dup()),
        ("sent".to_owned(), sent.id(), true)
    );
    subscriber.send(bytes::ack(PUBREC, again.id()));
    assert_eq!(subscriber.expect(6).id(), again.id());
    subscriber.send(bytes::ack(PUBCOMP, again.id()));
    let long = subscriber.message();
    assert_eq!(long.text(), "long", "the short one has expired");
    let left = long.property(0x02).pop().unwrap()[3];
    assert!((95..=98).contains(&left), "{left} s left");
    assert_eq!(subscriber.message().text(), "end");
    // The receiver of a message that expires goes on as well.
    let wait = expiring("waits", 1, 2);
    let mut publisher = Wire::client(V5);
    publisher.send(Publish { id: 3, ..wait }.bytes(V5));
    assert_eq!(publisher.expect(5).id(), 3);
    let start = std::time::Instant::now();
    eventually("its second passes", SOON, || {
        (start.elapsed() > Duration::from_millis(1200)).then_some(())
    });
    publisher.send(bytes::ack(PUBREL, 3));
    publisher.expect_bytes(bytes::ack(PUBCOMP, 3));
}

/// Conformance 3.1.1: 4.6.0-2, 4.6.0-3, 4.6.0-5, 4.6.0-6, 3.3.2-3
/// Conformance 5: 4.6.0-5, 4.6.0-6, 3.3.2-3
#[test]
fn messages_and_acknowledgements_keep_their_order() {
    for version in EVERY {
        let topic = unique("t");
        let kept = Connect::kept(version, &unique("c"));
        let mut subscribers = [Wire::client(version), Wire::connect(&kept)];
        for subscriber in &mut subscribers {
            subscriber.subscribe(&format!("{topic}/+"), 2);
        }
        let mut publisher = Wire::client(version);
        // No more at once than the server's Receive Maximum.
        for (qos, ids) in [(0_u8, 1..=50_u16), (1, 101..=150), (2, 201..=250)] {
            let burst = ids.clone().flat_map(|id| {
                bytes::publish(version, &format!("{topic}/{qos}"), &id.to_string(), qos, id)
            });
            publisher.send(burst.collect::<Vec<_>>());
            if qos > 0 {
                let answers: Vec<_> = ids
                    .clone()
                    .map(|_| publisher.expect(3 + qos).id())
                    .collect();
                assert_eq!(answers, ids.clone().collect::<Vec<_>>());
            }
            if qos == 2 {
                publisher.send(
                    ids.clone()
                        .flat_map(|id| bytes::ack(PUBREL, id))
                        .collect::<Vec<_>>(),
                );
                let answers: Vec<_> = ids.clone().map(|_| publisher.expect(7).id()).collect();
                assert_eq!(answers, ids.clone().collect::<Vec<_>>());
            }
            for subscriber in &mut subscribers {
                for id in ids.clone() {
                    let message = subscriber.message();
                    assert_eq!(message.topic(), format!("{topic}/{qos}"));
                    assert_eq!((message.text(), message.qos()), (id.to_string(), qos));
                }
            }
        }
    }
}
