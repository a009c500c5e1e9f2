//! SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (3.8 to 3.11).

use isthmus_tests::{Service, Spec, User, kafka, unique};

use crate::bytes::{self, Connect, PUBACK, PUBCOMP, PUBREC, packet};
use crate::wire::Wire;
use crate::{EVERY, NUMBERED, V5, V31, V311};

/// Conformance 3.1.1: 3.8.3-3, 3.8.3-4, 3.10.3-2, 4.8.0-1
/// Conformance 5: 3.8.3-2, 3.8.3-4, 3.8.3-5, 3.10.3-2, 4.13.1-1
#[test]
fn a_wrong_subscribe_closes_the_connection_and_subscribes_to_nothing() {
    for version in NUMBERED {
        let topic = unique("t");
        let with = |options| bytes::subscribe(version, 1, &[(&topic, 1), (&topic, options)]);
        let mut cases = vec![
            (bytes::subscribe(version, 1, &[]), 0x82, "no filter"),
            (
                bytes::unsubscribe(version, 1, &[]),
                0x82,
                "no filter to end",
            ),
            (with(3), 0x82, "QoS 3"),
            (with(0x40), 0x81, "reserved bit 6"),
            (with(0x80), 0x81, "reserved bit 7"),
        ];
        if version == V311 {
            cases.extend([4, 8, 16, 32].map(|bit| (with(bit | 1), 0, "reserved bits")));
        } else {
            let shared = format!("$share/g/{topic}");
            cases.extend([
                (with(0x30), 0x82, "Retain Handling 3"),
                (
                    bytes::subscribe(V5, 1, &[(&shared, 5)]),
                    0x82,
                    "No Local, shared",
                ),
                (
                    bytes::subscribe_with(V5, 1, &[0x0B, 0], &[(&topic, 1)]),
                    0x82,
                    "identifier 0",
                ),
            ]);
        }
        for (packet, code, what) in cases {
            let kept = Connect::kept(version, &unique("c"));
            let mut wire = Wire::connect(&kept);
            wire.send(&packet);
            assert_eq!(wire.ended(), (version == V5).then_some(code), "{what}");
            // Nothing was subscribed to: the session gets what it subscribes to now.
            Wire::client(version).publish(&topic, "never", 1);
            let mut wire = Wire::connect(&kept);
            let end = unique("end");
            wire.subscribe(&end, 1);
            Wire::client(version).publish(&topic, "never", 1);
            Wire::client(version).publish(&end, "end", 1);
            assert_eq!(wire.message().text(), "end", "{what}");
            wire.fence();
            wire.disconnect();
            Wire::connect(&Connect::new(version, &kept.id)).disconnect();
        }
    }
}

/// Conformance 3.1.1: 3.8.3-2, 3.8.4-1, 3.8.4-2, 3.8.4-4, 3.8.4-5, 3.8.4-6, 3.9.3-1, 3.9.3-2
/// Conformance 5: 3.8.4-1, 3.8.4-2, 3.8.4-5, 3.8.4-6, 3.8.4-7, 3.8.4-8, 3.9.3-1, 3.9.3-2, 3.2.2-10
/// Conformance 3.1: flows
#[test]
fn several_filters_get_one_answer_with_a_code_each() {
    for version in EVERY {
        for kept in [false, true] {
            let topic = unique("t");
            let id = unique("c");
            let connect = if kept {
                Connect::kept(version, &id)
            } else {
                Connect::new(version, &id)
            };
            let mut wire = Wire::connect(&connect);
            let names = [
                ("a", 1),
                ("b", 0),
                ("c", 2),
                ("d/+", 2),
                ("e/#", 1),
                ("f", 0),
            ];
            let filters = names.map(|(name, qos)| (format!("{topic}/{name}"), qos));
            let filters: Vec<_> = filters.iter().map(|(name, qos)| (&**name, *qos)).collect();
            wire.send(bytes::subscribe(version, 77, &filters));
            let suback = wire.expect(9);
            assert_eq!((suback.id(), suback.codes()), (77, vec![1, 0, 2, 2, 1, 0]));
            assert_eq!(wire.fence(), [], "one answer");
            // Each is a subscription, with the QoS granted.
            let mut publisher = Wire::client(version);
            for published in 0..3 {
                for (name, granted) in ["a", "b", "c", "d/x", "e/x/y", "f"]
                    .iter()
                    .zip([1, 0, 2, 2, 1, 0])
                {
                    publisher.publish(&format!("{topic}/{name}"), name, published);
                    let message = wire.message();
                    assert_eq!(
                        (message.text().as_str(), message.qos()),
                        (*name, granted.min(published))
                    );
                }
            }
            publisher.publish(&format!("{topic}/g"), "never", 1);
            publisher.publish(&format!("{topic}/a"), "end", 1);
            assert_eq!(wire.message().text(), "end");
        }
    }
}

/// Conformance 3.1.1: 3.8.4-3, 3.10.4-1, 3.10.4-2, 3.10.4-4, 3.10.4-5, 3.10.4-6
/// Conformance 5: 3.8.4-3, 3.10.4-1, 3.10.4-2, 3.10.4-4, 3.10.4-5, 3.10.4-6, 3.11.3-1, 3.11.3-2
/// Conformance 3.1: flows
#[test]
fn a_subscription_is_replaced_by_its_like_and_ended_by_its_name() {
    for version in EVERY {
        for kept in [false, true] {
            let topic = unique("t");
            let id = unique("c");
            let connect = if kept {
                Connect::kept(version, &id)
            } else {
                Connect::new(version, &id)
            };
            let mut wire = Wire::connect(&connect);
            let mut publisher = Wire::client(version);
            let (plus, plain) = (format!("{topic}/+"), format!("{topic}/a"));
            // Replaced: one copy, with the new QoS.
            for qos in [1, 2, 0, 2] {
                wire.subscribe(&plus, qos);
                publisher.publish(&plain, "x", 2);
                assert_eq!(wire.message().qos(), qos);
                publisher.publish(&plain, "end", 2);
                assert_eq!(wire.texts_until("end"), [""; 0], "a second copy");
            }
            wire.subscribe(&plain, 1);
            // Names that end nothing: like the filters, or matched by them.
            let upper = plain.to_uppercase();
            let others = [
                &*upper,
                "other",
                "+/a",
                "#",
                &format!("{topic}/b"),
                &format!("{topic}/a/"),
            ]
            .map(str::to_owned);
            let others: Vec<_> = others.iter().map(String::as_str).collect();
            wire.send(bytes::unsubscribe(version, 500, &others));
            let unsuback = wire.expect(11);
            assert_eq!(unsuback.id(), 500);
            if version == V5 {
                assert_eq!(unsuback.codes(), [0x11; 6]);
            }
            publisher.publish(&plain, "both", 1);
            assert_eq!(wire.message().text(), "both");
            // One answer for several, in their order.
            wire.send(bytes::unsubscribe(version, 501, &["other", &plus, &plus]));
            let unsuback = wire.expect(11);
            assert_eq!(unsuback.id(), 501);
            if version == V5 {
                assert_eq!(unsuback.codes(), [0x11, 0, 0x11]);
            }
            assert_eq!(wire.fence(), [], "one answer");
            publisher.publish(&format!("{topic}/b"), "never", 1);
            publisher.publish(&plain, "one", 1);
            assert_eq!(wire.message().text(), "one", "what was ended goes on");
            let end = unique("end");
            wire.subscribe(&end, 1);
            wire.unsubscribe(&plain);
            publisher.publish(&plain, "never", 1);
            publisher.publish(&end, "end", 1);
            assert_eq!(wire.message().text(), "end", "what was ended goes on");
        }
    }
}

/// Conformance 3.1.1: 3.10.4-3
/// Conformance 5: 3.10.4-3
#[test]
fn deliveries_that_have_begun_are_completed_after_unsubscribe() {
    for version in NUMBERED {
        for kept in [false, true] {
            let topic = unique("t");
            let id = unique("c");
            let connect = if kept {
                Connect::kept(version, &id)
            } else {
                Connect::new(version, &id)
            };
            let mut wire = Wire::connect(&connect);
            wire.subscribe(&topic, 2);
            let mut publisher = Wire::client(version);
            publisher.publish(&topic, "one", 1);
            publisher.publish(&topic, "two", 2);
            let (one, two) = (wire.expect(3), wire.expect(3));
            wire.unsubscribe(&topic);
            wire.send(bytes::ack(PUBACK, one.id()));
            wire.send(bytes::ack(PUBREC, two.id()));
            assert_eq!(wire.expect(6).id(), two.id());
            if kept {
                // And again after a reconnect, from where it was.
                wire.vanish();
                wire = Wire::connect(&connect);
                assert_eq!(wire.expect(6).id(), two.id());
            }
            wire.send(bytes::ack(PUBCOMP, two.id()));
            assert_eq!(wire.fence(), []);
        }
    }
}

/// Conformance 3.1.1: 3.8.4-3
/// Conformance 5: 3.8.4-4
#[test]
fn no_message_is_lost_while_a_subscription_is_replaced() {
    for version in NUMBERED {
        for kept in [false, true] {
            let topic = unique("t");
            let id = unique("c");
            let connect = if kept {
                Connect::kept(version, &id)
            } else {
                Connect::new(version, &id)
            };
            let mut wire = Wire::connect(&connect);
            wire.subscribe(&topic, 1);
            let to = topic.clone();
            let publishing = std::thread::spawn(move || {
                let mut publisher = Wire::client(version);
                for n in 0..200 {
                    publisher.publish(&to, &n.to_string(), 1);
                }
            });
            let mut numbers = Vec::new();
            while numbers.len() < 200 {
                let id = wire.new_id();
                wire.send(bytes::subscribe(version, id, &[(&topic, 1)]));
                loop {
                    match wire.next().expect("open") {
                        suback if suback.kind() == 9 => break,
                        message => {
                            wire.send(bytes::ack(PUBACK, message.id()));
                            numbers.push(message.text().parse::<u32>().unwrap());
                        }
                    }
                }
                if numbers.len() < 200 {
                    numbers.push(wire.message().text().parse().unwrap());
                }
            }
            publishing.join().unwrap();
            assert_eq!(numbers, (0..200).collect::<Vec<_>>());
            assert_eq!(wire.fence(), [], "none twice");
        }
    }
}

/// Conformance 3.1.1: 3.3.5-1
/// Conformance 5: 3.3.4-2, 3.3.4-3, 3.3.4-4, 3.3.4-5
#[test]
fn overlapping_subscriptions_give_the_highest_qos_and_every_identifier() {
    for version in NUMBERED {
        for kept in [false, true] {
            let topic = unique("t");
            let id = unique("c");
            let connect = if kept {
                Connect::kept(version, &id)
            } else {
                Connect::new(version, &id)
            };
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
        let id = unique("c");
        let connect = if kept {
            Connect::kept(V5, &id)
        } else {
            Connect::new(V5, &id)
        };
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
/// Conformance 3.1: suback-positive, publish-positive
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
        // MQTT 3.1 has no way to say no.
        let [no, nor] = [[2, 0], [0x80, 0x80], [0x87, 0x87]][usize::from(version - V31)];
        assert_eq!(wire.expect(9).codes(), [1, no, nor, 2]);
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
