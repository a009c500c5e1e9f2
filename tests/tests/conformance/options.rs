//! What subscriptions bring and may not: overlaps, No Local, rights (3.3.4, 3.8.3, 3.8.4).

use isthmus_tests::{Service, Spec, User, kafka, unique};

use crate::bytes::{self, Connect, PUBACK, packet};
use crate::wire::Wire;
use crate::{EVERY, NUMBERED, V5, V31};

/// Conformance 3.1.1: 3.3.5-1
/// Conformance 5: 3.3.4-2, 3.3.4-3, 3.3.4-4, 3.3.4-5
#[test]
fn overlapping_subscriptions_give_the_highest_qos_and_every_identifier() {
    for version in NUMBERED {
        for kept in [false, true] {
            let topic = unique("t");
            let connect = Connect::either(version, kept);
            let mut wire = Wire::connect(&connect);
            let filters = [("+", 1, 7), ("#", 0, 300), ("a", 2, 0), ("b", 2, 9)];
            for (name, qos, number) in filters {
                let with = match number {
                    0 => Vec::new(),
                    _ => [&[0x0B][..], &bytes::integer(number)].concat(),
                };
                let filter = format!("{topic}/{name}");
                wire.send(bytes::subscribe_with(version, 1, &with, &[(&filter, qos)]));
                assert_eq!(wire.expect(9).codes(), [qos]);
            }
            let mut publisher = Wire::client(version);
            for qos in 0..3 {
                for (name, numbers) in [
                    ("a", vec![7, 300]),
                    ("b", vec![7, 9, 300]),
                    ("c/d", vec![300]),
                ] {
                    publisher.publish(&format!("{topic}/{name}"), "x", qos);
                    let message = wire.message();
                    let highest = if name == "c/d" { 0 } else { 2 };
                    assert_eq!(message.qos(), qos.min(highest), "{name}");
                    if version == V5 {
                        let mut found = message.property(0x0B);
                        found.sort();
                        let mut expected: Vec<_> =
                            numbers.iter().map(|n| bytes::integer(*n)).collect();
                        expected.sort();
                        assert_eq!(found, expected, "{name}");
                    }
                }
            }
            assert_eq!(wire.fence(), [], "one copy");
            if version == V5 {
                // A shared subscription brings a message of its own, with its own identifier.
                let shared = format!("$share/g/{topic}/a");
                wire.send(bytes::subscribe_with(V5, 1, &[0x0B, 42], &[(&shared, 1)]));
                assert_eq!(wire.expect(9).codes(), [1]);
                publisher.publish(&format!("{topic}/a"), "x", 1);
                let mut found = [wire.message().property(0x0B), wire.message().property(0x0B)];
                found.sort_by_key(Vec::len);
                found[1].sort();
                let mut plain = [bytes::integer(7), bytes::integer(300)];
                plain.sort();
                assert_eq!(found, [vec![vec![42]], plain.to_vec()]);
            }
        }
    }
}

/// Conformance 5: 3.8.3-3
#[test]
fn no_local_keeps_a_client_from_its_own_messages() {
    for kept in [false, true] {
        let topic = unique("t");
        let connect = Connect::either(V5, kept);
        let mut wire = Wire::connect(&connect);
        wire.subscribe(&topic, 2 | 4);
        for qos in 0..3 {
            wire.publish(&topic, "own", qos);
            Wire::client(V5).publish(&topic, "other's", qos);
            let message = wire.message();
            assert_eq!((message.text().as_str(), message.qos()), ("other's", qos));
        }
        wire.subscribe(&topic, 1);
        wire.send(bytes::publish(V5, &topic, "own", 1, 9));
        let mut kinds = [wire.next().unwrap().kind(), wire.next().unwrap().kind()];
        kinds.sort_unstable();
        assert_eq!(kinds, [3, 4]);
    }
}

/// Conformance 3.1.1: 3.8.4-5, 3.9.3-2, 3.3.5-2
/// Conformance 5: 3.8.4-7, 3.9.3-1, 3.9.3-2, 3.4.2-1, 3.5.2-1, 4.3.3-9
/// Conformance 3.1: suback-refused, publish-positive
#[test]
fn what_a_client_may_not_do_is_answered_and_not_done() {
    let user = User::new("some", "pass", &[("mine", "pubsub")]);
    let service = Service::start(kafka::shared(), Spec::new("rights").user(user));
    let address = service.address();
    for version in EVERY {
        let account = Connect::new(version, &unique("c"));
        let limited = Connect {
            user: Some("some"),
            password: Some("pass"),
            ..account
        };
        let mut wire = Wire::to(&address, version).let_in(&limited);
        let mut other = Wire::to(&address, version).let_in(&Connect::new(version, &unique("c")));
        other.subscribe("+", 2);
        wire.send(bytes::subscribe(
            version,
            1,
            &[("mine", 1), ("other", 2), ("#", 0), ("mine", 2)],
        ));
        let no = if version == V5 { 0x87 } else { 0x80 };
        assert_eq!(wire.expect(9).codes(), [1, no, no, 2]);
        for qos in 0..3 {
            let id = 10 + u16::from(qos);
            wire.send(bytes::publish(version, "other", "never", qos, id));
            if qos > 0 {
                let answer = wire.expect(3 + qos);
                let refusal = if version == V5 { vec![0x87] } else { vec![] };
                assert_eq!((answer.id(), answer.codes()), (id, refusal));
            }
            if qos == 2 && version != V5 {
                wire.send(bytes::ack(bytes::PUBREL, id));
                assert_eq!(wire.expect(7).id(), id);
            }
            // The identifier is another message's now.
            wire.send(bytes::publish(version, "mine", "done", qos, id));
            assert_eq!(other.message().text(), "done");
            let mut wire_got = wire.fence();
            wire_got.retain(|packet| packet.kind() == 3);
            assert_eq!(wire_got.len(), 1);
            match qos {
                0 => {}
                1 => wire.send(bytes::ack(PUBACK, wire_got[0].id())),
                _ => wire.send(bytes::ack(bytes::PUBREL, id)),
            }
            wire.fence_all();
        }
        let mut third = Wire::to(&address, version).let_in(&Connect::new(version, &unique("c")));
        third.publish("other", "never", 1);
        third.publish("mine", "end", 1);
        let got = wire.fence();
        assert!(
            got.iter().all(|p| p.kind() != 3 || p.topic() == "mine"),
            "{got:?}"
        );
    }
}

/// Conformance 5: 3.8.3-5, 3.10.1-1
/// Conformance 3.1: dup-hint
#[test]
fn dup_is_taken_in_mqtt_3_1_alone() {
    for version in EVERY {
        let subscribe = [(&[0x8A][..], bytes::subscribe(version, 1, &[("x", 0)]))];
        let unsubscribe = [(&[0xAA][..], bytes::unsubscribe(version, 1, &["x"]))];
        let pubrel = [(&[0x6A][..], packet(0x62, [0, 1]))];
        for (first, packet) in [subscribe, unsubscribe, pubrel].concat() {
            let mut wire = Wire::client(version);
            wire.send([first, &packet[1..]].concat());
            if version == V31 {
                let answer = wire.next().expect("an answer");
                assert_eq!(
                    answer.kind(),
                    if packet[0] == 0x62 {
                        7
                    } else {
                        packet[0] >> 4 | 1
                    }
                );
            } else {
                wire.ended_for(0x81);
            }
        }
    }
}
