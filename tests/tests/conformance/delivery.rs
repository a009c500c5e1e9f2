//! The QoS handshakes as sender and as receiver, over reconnects (4.3, 4.4).

use isthmus_tests::unique;

use crate::bytes::{self, Connect, PUBACK, PUBCOMP, PUBREC, PUBREL, Publish};
use crate::packet::Packet;
use crate::wire::Wire;
use crate::{EVERY, V5, V31};

/// Conformance 3.1.1: 3.3.1-1, 4.3.2-1, 4.3.3-1, 4.4.0-1, 4.6.0-1, 4.6.0-4, 2.3.1-4, 4.1.0-1
/// Conformance 5: 3.3.1-1, 4.3.2-3, 4.3.3-3, 4.3.3-4, 4.3.3-5, 4.3.3-6, 4.4.0-1
/// Conformance 3.1: resend
#[test]
fn what_is_unacknowledged_comes_again_after_a_reconnect_and_only_then() {
    for version in EVERY {
        let (id, topic) = (unique("c"), unique("t"));
        let kept = Connect::kept(version, &id);
        let mut device = Wire::connect(&kept);
        device.subscribe(&topic, 2);
        let mut publisher = Wire::client(version);
        for (n, qos) in [1, 2, 1, 2, 2].into_iter().enumerate() {
            publisher.publish(&topic, &n.to_string(), qos);
        }
        let sent: Vec<Packet> = (0..5).map(|_| device.expect(3)).collect();
        assert!(sent.iter().all(|message| !message.dup()));
        // PUBRECs in another order: their PUBRELs come in that order.
        for n in [4, 1] {
            device.send(bytes::ack(PUBREC, sent[n].id()));
        }
        let released = [device.expect(6).id(), device.expect(6).id()];
        assert_eq!(released, [sent[4].id(), sent[1].id()]);
        assert_eq!(device.fence(), [], "again without a reconnect");
        for _ in 0..2 {
            device.vanish();
            device = Wire::connect(&kept);
            assert_eq!(device.session_present(), version != V31);
            let again: Vec<Packet> = (0..5).map(|_| device.next().expect("open")).collect();
            let (messages, releases): (Vec<_>, Vec<_>) =
                again.into_iter().partition(|packet| packet.kind() == 3);
            for (message, n) in messages.iter().zip([0, 2, 3]) {
                assert!(message.dup());
                assert_eq!(
                    (message.text(), message.id()),
                    (n.to_string(), sent[n].id())
                );
                assert_eq!(message.qos(), sent[n].qos());
            }
            let mut releases: Vec<_> = releases.iter().map(Packet::id).collect();
            releases.sort_unstable();
            let mut expected = released;
            expected.sort_unstable();
            assert_eq!((messages.len(), releases), (3, expected.to_vec()));
            assert_eq!(device.fence(), []);
        }
        device.send(bytes::ack(PUBACK, sent[0].id()));
        device.send(bytes::ack(PUBACK, sent[2].id()));
        device.send(bytes::ack(PUBREC, sent[3].id()));
        assert_eq!(device.expect(6).id(), sent[3].id());
        for n in [1, 3, 4] {
            device.send(bytes::ack(PUBCOMP, sent[n].id()));
        }
        // All is done: nothing comes again.
        assert_eq!(device.fence(), []);
        device.vanish();
        let mut device = Wire::connect(&kept);
        publisher.publish(&topic, "next", 2);
        let next = device.message();
        assert_eq!((next.text().as_str(), next.dup()), ("next", false));
        device.fence();
        device.disconnect();
        Wire::connect(&Connect::new(version, &id)).disconnect();
    }
}

/// Conformance 5: 4.4.0-2, 4.3.3-4
#[test]
fn an_acknowledgement_that_says_no_is_one() {
    let (id, topic) = (unique("c"), unique("t"));
    let kept = Connect::kept(V5, &id);
    let mut device = Wire::connect(&kept);
    device.subscribe(&topic, 2);
    let mut publisher = Wire::client(V5);
    publisher.publish(&topic, "one", 1);
    publisher.publish(&topic, "two", 2);
    let (one, two) = (device.expect(3), device.expect(3));
    device.send(bytes::ack_with(PUBACK, one.id(), 0x80));
    device.send(bytes::ack_with(PUBREC, two.id(), 0x83));
    assert_eq!(device.fence(), [], "no PUBREL");
    device.vanish();
    let mut device = Wire::connect(&kept);
    assert!(device.session_present());
    publisher.publish(&topic, "next", 1);
    assert_eq!(device.message().text(), "next");
    device.fence();
}

/// Conformance 3.1.1: 4.3.3-2, 4.4.0-1
/// Conformance 5: 4.3.3-8, 4.3.3-10, 4.3.3-11, 4.3.3-12
/// Conformance 3.1: dup-hint
#[test]
fn a_qos_2_publish_is_taken_once_until_it_is_released() {
    for version in EVERY {
        for kept in [false, true] {
            let topic = unique("t");
            let connect = Connect::either(version, kept);
            let mut watcher = Wire::client(version);
            watcher.subscribe(&topic, 2);
            let publish = |payload, dup| {
                let publish = Publish {
                    topic: &topic,
                    payload,
                    qos: 2,
                    id: 5,
                    dup,
                    ..Publish::default()
                };
                publish.bytes(version)
            };
            let mut device = Wire::connect(&connect);
            for dup in [false, true, true, false] {
                device.send(publish("first", dup));
                device.expect_bytes(bytes::ack(PUBREC, 5));
            }
            if kept {
                device.vanish();
                device = Wire::connect(&connect);
                device.send(publish("first", true));
                device.expect_bytes(bytes::ack(PUBREC, 5));
            }
            device.send(bytes::ack(PUBREL, 5));
            device.expect_bytes(bytes::ack(PUBCOMP, 5));
            // Said again, it is answered again.
            device.send(bytes::ack(PUBREL, 5));
            assert_eq!(device.expect(7).id(), 5);
            // The identifier is free, whatever DUP says.
            device.send(publish("second", true));
            device.expect_bytes(bytes::ack(PUBREC, 5));
            device.send(bytes::ack(PUBREL, 5));
            device.expect_bytes(bytes::ack(PUBCOMP, 5));
            Wire::client(version).publish(&topic, "end", 2);
            assert_eq!(watcher.texts_until("end"), ["first", "second"]);
        }
    }
}

/// Conformance 3.1.1: 4.3.2-2
/// Conformance 5: 4.3.2-4, 4.3.2-5
#[test]
fn after_puback_the_identifier_is_a_new_message() {
    for version in EVERY {
        let topic = unique("t");
        let mut watcher = Wire::client(version);
        watcher.subscribe(&topic, 1);
        let mut device = Wire::client(version);
        for (payload, dup) in [("a", false), ("b", true), ("c", false), ("c", true)] {
            let publish = Publish {
                topic: &topic,
                payload,
                qos: 1,
                id: 5,
                dup,
                ..Publish::default()
            };
            device.send(publish.bytes(version));
            device.expect_bytes(bytes::ack(PUBACK, 5));
        }
        device.publish(&topic, "end", 1);
        assert_eq!(watcher.texts_until("end"), ["a", "b", "c", "c"]);
    }
}
