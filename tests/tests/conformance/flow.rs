//! Receive Maximum in both directions (3.3.4, 4.9).

use isthmus_tests::unique;

use crate::V5;
use crate::bytes::{self, Connect, PUBACK, PUBCOMP, PUBREC, PUBREL};
use crate::wire::Wire;

/// Conformance 5: 3.3.4-9, 3.3.4-10, 4.9.0-1, 4.9.0-2, 4.9.0-3
#[test]
fn the_server_keeps_to_the_clients_receive_maximum() {
    for kept in [false, true] {
        let topic = unique("t");
        let connect = Connect::either(V5, kept);
        let connect = connect.with(&[0x21, 0, 3]);
        let mut device = Wire::connect(&connect);
        device.subscribe(&topic, 2);
        let mut publisher = Wire::client(V5);
        for n in 0..9_u8 {
            publisher.publish(&topic, &n.to_string(), 1 + n % 2);
        }
        let first = [device.expect(3), device.expect(3), device.expect(3)];
        assert_eq!(device.fence(), [], "more than three");
        // Everything else goes on: QoS 0, SUBACK, the client's own messages.
        publisher.publish(&topic, "passes", 0);
        assert_eq!(device.expect(3).text(), "passes");
        device.subscribe("other", 1);
        device.publish("nobody/listens", "x", 1);
        device.publish("nobody/listens", "x", 2);
        device.unsubscribe("other");
        assert_eq!(device.fence(), []);
        // PUBREC makes no room, PUBCOMP does; so does PUBACK, and a PUBREC that says no.
        device.send(bytes::ack(PUBREC, first[1].id()));
        assert_eq!(device.expect(6).id(), first[1].id());
        assert_eq!(device.fence(), [], "PUBREC made room");
        device.send(bytes::ack(PUBCOMP, first[1].id()));
        let fourth = device.expect(3);
        assert_eq!((fourth.text().as_str(), fourth.qos()), ("3", 2));
        assert_eq!(device.fence(), []);
        device.send(bytes::ack(PUBACK, first[0].id()));
        assert_eq!(device.expect(3).text(), "4");
        device.send(bytes::ack_with(PUBREC, fourth.id(), 0x80));
        assert_eq!(device.expect(3).text(), "5");
        assert_eq!(device.fence(), []);
        if kept {
            // Each connection begins with the whole of it.
            device.vanish();
            let mut device = Wire::connect(&connect);
            let again = [device.expect(3), device.expect(3), device.expect(3)];
            assert_eq!(again.map(|message| message.text()), ["2", "4", "5"]);
            assert_eq!(device.fence(), []);
        }
    }
}

/// Conformance 5: 3.3.4-7, 4.9.0-3, 4.13.1-1, 4.13.2-1
#[test]
fn a_client_that_exceeds_the_servers_receive_maximum_is_disconnected() {
    let mut device = Wire::client(V5);
    let most = device.welcome.as_ref().unwrap().property(0x21);
    let most = most
        .first()
        .map_or(u16::MAX, |value| u16::from_be_bytes([value[0], value[1]]));
    let topic = unique("t");
    for id in 1..=most {
        device.send(bytes::publish(V5, &topic, "x", 2, id));
    }
    for id in 1..=most {
        device.expect_bytes(bytes::ack(PUBREC, id));
    }
    // Everything else goes on.
    device.send(bytes::publish(V5, &topic, "x", 0, 0));
    device.subscribe("other", 1);
    assert_eq!(device.fence(), []);
    // Room for one more, and for no other.
    device.send(bytes::ack(PUBREL, 1));
    device.expect_bytes(bytes::ack(PUBCOMP, 1));
    device.send(bytes::publish(V5, &topic, "x", 2, most + 1));
    device.expect_bytes(bytes::ack(PUBREC, most + 1));
    device.send(bytes::publish(V5, &topic, "x", 2, most + 2));
    assert_eq!(device.ended(), Some(0x93));
}
