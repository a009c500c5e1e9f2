//! Shared subscriptions (4.8.2).

use isthmus_tests::unique;

use crate::bytes::{self, Connect, PUBACK, PUBCOMP, PUBREC};
use crate::wire::Wire;
use crate::{NUMBERED, V5};

/// Conformance 5: 4.8.2-1, 4.8.2-2
#[test]
fn share_names_are_checked() {
    for version in NUMBERED {
        for wrong in [
            "$share/",
            "$share/g",
            "$share/g/",
            "$share//t",
            "$share/+/t",
            "$share/#/t",
            "$share/g#/t",
            "$share/g+/t",
            "$share/g/t#",
        ] {
            let mut wire = Wire::client(version);
            wire.send(bytes::subscribe(version, 1, &[(wrong, 1)]));
            if version == V5 {
                assert_eq!(wire.expect(9).codes(), [0x8F], "{wrong}");
            } else {
                assert_eq!(wire.ended(), None, "{wrong}");
            }
        }
        let topic = unique("t");
        let mut wire = Wire::client(version);
        wire.subscribe(&format!("$share/g/{topic}/#"), 1);
        Wire::client(version).publish(&format!("{topic}/a"), "x", 1);
        assert_eq!(wire.message().topic(), format!("{topic}/a"));
    }
}

/// Conformance 5: 4.8.2-3
#[test]
fn a_shared_message_has_the_qos_of_the_member_that_gets_it() {
    for kept in [false, true] {
        let topic = unique("t");
        let mut publisher = Wire::client(V5);
        // With one member at a time it is known who gets the message; then all at once.
        let connect = || {
            let id = unique("c");
            Wire::connect(&if kept {
                Connect::kept(V5, &id)
            } else {
                Connect::new(V5, &id)
            })
        };
        for granted in 0..3 {
            let filter = format!("$share/{granted}/{topic}");
            let mut member = connect();
            member.subscribe(&filter, granted);
            for qos in 0..3 {
                publisher.publish(&topic, "x", qos);
                assert_eq!(member.message().qos(), qos.min(granted));
            }
            member.unsubscribe(&filter);
        }
        let mut members = [connect(), connect(), connect()];
        let end = format!("{topic}/end");
        for (granted, member) in (0..).zip(&mut members) {
            member.subscribe(&format!("$share/g/{topic}"), granted);
            member.subscribe(&end, 2);
        }
        for _ in 0..12 {
            publisher.publish(&topic, "x", 2);
        }
        publisher.publish(&end, "end", 2);
        let mut total = 0;
        for (granted, member) in (0..).zip(&mut members) {
            let messages = std::iter::from_fn(|| Some(member.message()));
            for message in messages.take_while(|message| message.topic() != end) {
                assert_eq!(message.qos(), granted);
                total += 1;
            }
        }
        assert_eq!(total, 12, "each once");
    }
}

/// Two members of a group, and which of them got the message that is published.
fn chosen(kept: bool, topic: &str, qos: u8) -> (Connect, Wire, crate::packet::Packet, Wire) {
    let of = |id: &str| {
        if kept {
            Connect::kept(V5, id)
        } else {
            Connect::new(V5, id)
        }
    };
    let connects = [of(&unique("c")), of(&unique("c"))];
    let mut members = connects.each_ref().map(Wire::connect);
    for member in &mut members {
        member.subscribe(&format!("$share/g/{topic}"), 2);
    }
    Wire::client(V5).publish(topic, "one", qos);
    // A shared message of a kept session comes by way of Kafka: ask until one has it.
    let (mut at, mut first) = (0, members[0].fence());
    while first.is_empty() {
        at = 1 - at;
        first = members[at].fence();
    }
    let [mut one, mut other] = members;
    if at == 1 {
        std::mem::swap(&mut one, &mut other);
    }
    let message = first.pop().unwrap();
    assert_eq!((message.kind(), message.qos(), first.len()), (3, qos, 0));
    (connects[at].clone(), one, message, other)
}

/// Nothing but this comes to the last member that is left.
fn next_is(member: &mut Wire, topic: &str) {
    for text in ["two", "three"] {
        Wire::client(V5).publish(topic, text, 2);
        assert_eq!(member.message().text(), text, "what was another's came too");
    }
}

/// Conformance 5: 4.8.2-4
#[test]
fn a_qos_2_delivery_that_broke_off_is_completed_to_the_same_member() {
    let topic = unique("t");
    let (connect, one, message, mut other) = chosen(true, &topic, 2);
    one.vanish();
    next_is(&mut other, &topic);
    let mut one = Wire::connect(&connect);
    assert!(one.session_present());
    let again = one.expect(3);
    assert_eq!(
        (again.text(), again.id(), again.dup()),
        ("one".to_owned(), message.id(), true)
    );
    one.send(bytes::ack(PUBREC, again.id()));
    assert_eq!(one.expect(6).id(), again.id());
    one.send(bytes::ack(PUBCOMP, again.id()));
    assert_eq!(one.fence(), []);
}

/// Conformance 5: 4.8.2-5
#[test]
fn a_qos_2_message_of_a_member_that_is_gone_goes_to_no_other() {
    for kept in [false, true] {
        let topic = unique("t");
        let (connect, one, _, mut other) = chosen(kept, &topic, 2);
        one.vanish();
        // The session ends: for good.
        Wire::connect(&Connect::new(V5, &connect.id)).disconnect();
        next_is(&mut other, &topic);
    }
}

/// Conformance 5: 4.8.2-6
#[test]
fn a_message_that_a_member_refuses_goes_to_no_other() {
    for kept in [false, true] {
        for (qos, ack) in [(1, PUBACK), (2, PUBREC)] {
            let topic = unique("t");
            let (connect, mut one, message, mut other) = chosen(kept, &topic, qos);
            one.send(bytes::ack_with(ack, message.id(), 0x97));
            assert_eq!(one.fence(), []);
            one.disconnect();
            Wire::connect(&Connect::new(V5, &connect.id)).disconnect();
            next_is(&mut other, &topic);
        }
    }
}
