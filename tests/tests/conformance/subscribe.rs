//! SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (3.8 to 3.11).

use isthmus_tests::unique;

use crate::bytes::{self, Connect, PUBACK, PUBCOMP, PUBREC};
use crate::wire::Wire;
use crate::{EVERY, NUMBERED, V5, V311};

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
            let connect = Connect::either(version, kept);
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
            let connect = Connect::either(version, kept);
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
            let connect = Connect::either(version, kept);
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
            let connect = Connect::either(version, kept);
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
