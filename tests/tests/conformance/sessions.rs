//! Sessions: Clean Start and CleanSession, expiry, takeover (3.1.2.4, 3.1.4, 4.1).

use std::time::Duration;

use isthmus_tests::{SOON, eventually, unique};

use crate::bytes::Connect;
use crate::wire::Wire;
use crate::{EVERY, V5, V31};

/// Conformance 3.1.1: 3.1.2-4, 3.1.2-5, 3.1.2-6, 3.1.3-2, 3.1.4-3, 3.2.2-1, 3.2.2-2, 3.2.2-3
/// Conformance 3.1.1: 4.1.0-1, 4.5.0-1
/// Conformance 5: 3.1.2-4, 3.1.2-5, 3.1.2-6, 3.1.2-23, 3.1.3-2, 3.1.4-4, 3.2.2-2, 3.2.2-3, 4.5.0-1
/// Conformance 3.1: no-session-present, flows
#[test]
fn a_session_is_kept_under_its_identifier_until_clean_start() {
    for version in EVERY {
        let (id, topic) = (unique("session"), unique("t"));
        let kept = Connect::kept(version, &id);
        let present = version != V31;
        let mut device = Wire::connect(&kept);
        assert!(!device.session_present());
        device.subscribe(&topic, 2);
        device.disconnect();
        // An identifier that differs in case is another's.
        let other = Connect::kept(version, &id.to_uppercase());
        let other_device = Wire::connect(&other);
        assert!(!other_device.session_present());
        let mut publisher = Wire::client(version);
        for n in 0..6 {
            publisher.publish(&topic, &n.to_string(), n % 3);
        }
        let mut device = Wire::connect(&kept);
        assert_eq!(device.session_present(), present);
        // QoS 0 is not kept.
        for (text, qos) in [("1", 1), ("2", 2), ("4", 1), ("5", 2)] {
            let message = device.message();
            assert_eq!((message.text().as_str(), message.qos()), (text, qos));
            assert!(!message.dup());
        }
        publisher.publish(&topic, "live", 0);
        assert_eq!(device.message().text(), "live");
        device.fence();
        device.vanish();
        publisher.publish(&topic, "discarded", 1);
        // Ended, and nothing of it is used again: neither subscription nor message.
        for next in [Connect::new(version, &id), kept.clone()] {
            let mut device = Wire::connect(&next);
            assert!(!device.session_present());
            publisher.publish(&topic, "never", 1);
            let end = unique("end");
            device.subscribe(&end, 1);
            publisher.publish(&end, "end", 1);
            assert_eq!(device.message().text(), "end");
            device.fence();
            device.disconnect();
        }
        // A session that ends with its connection is no session later.
        Wire::connect(&Connect::new(version, &id)).disconnect();
        assert!(!Wire::connect(&kept).session_present());
        drop(other_device);
        for id in [&id, &other.id] {
            Wire::connect(&Connect::new(version, id)).disconnect();
        }
    }
}

/// Conformance 3.1.1: 4.1.0-2
/// Conformance 5: 3.1.2-23, 4.1.0-1, 4.1.0-2
#[test]
fn a_session_expires_after_its_connection_and_not_during_it() {
    let expiring = |seconds: u8| {
        let connect = Connect {
            clean: false,
            ..Connect::new(V5, &unique("session"))
        };
        connect.with(&[0x11, 0, 0, 0, seconds])
    };
    let (short, long, none) = (expiring(1), expiring(60), expiring(0));
    let mut connected = Wire::connect(&expiring(1));
    let (topic, at_zero) = (unique("t"), unique("t"));
    connected.subscribe(&topic, 1);
    let mut at_zero_expiry = Wire::connect(&none);
    at_zero_expiry.subscribe(&at_zero, 1);
    for connect in [&short, &long] {
        Wire::connect(connect).disconnect();
    }
    let start = std::time::Instant::now();
    eventually("more than a second passes", SOON, || {
        (start.elapsed() > Duration::from_millis(2200)).then_some(())
    });
    assert!(!Wire::connect(&short).session_present());
    assert!(Wire::connect(&long).session_present());
    for (device, topic) in [(&mut connected, &topic), (&mut at_zero_expiry, &at_zero)] {
        Wire::client(V5).publish(topic, "here", 1);
        assert_eq!(device.message().text(), "here");
    }
    at_zero_expiry.disconnect();
    assert!(!Wire::connect(&none).session_present());
}

/// Conformance 3.1.1: 3.1.4-2
/// Conformance 5: 3.1.4-3, 3.14.2-1, 4.13.2-1
#[test]
fn a_second_connection_with_the_identifier_ends_the_first() {
    for version in EVERY {
        for connect in [
            Connect::new(version, &unique("c")),
            Connect::kept(version, &unique("c")),
        ] {
            let mut first = Wire::connect(&connect);
            let second = Wire::connect(&connect);
            first.ended_for(0x8E);
            assert_eq!(second.session_present(), !connect.clean && version != V31);
            let mut third = Wire::connect(&connect);
            third.fence();
            third.disconnect();
            Wire::connect(&Connect::new(version, &connect.id)).disconnect();
        }
    }
}
