//! Wills (3.1.2.5, 3.14.4) and Keep Alive (3.1.2.10).

use std::time::{Duration, Instant};

use isthmus_tests::unique;

use crate::bytes::{self, Connect, Publish};
use crate::packet::Packet;
use crate::wire::Wire;
use crate::{EVERY, NUMBERED, V5, V31, V311};

/// What is retained for a topic: a new subscription gets that, or only the mark behind it.
fn retained(version: u8, topic: &str) -> Option<Packet> {
    let mark = unique("mark");
    let mut publisher = Wire::client(version);
    let retain = |payload| Publish {
        topic: &mark,
        payload,
        qos: 1,
        retain: true,
        ..Publish::default()
    };
    publisher.publish_this(&retain("mark"));
    let mut reader = Wire::client(version);
    reader.send(bytes::subscribe(version, 1, &[(topic, 2), (&mark, 2)]));
    reader.expect(9);
    let first = reader.message();
    publisher.publish_this(&retain(""));
    if first.topic() == mark {
        return None;
    }
    assert_eq!(reader.message().topic(), mark);
    Some(first)
}

/// Conformance 3.1.1: 3.1.2-8, 3.1.2-9, 3.1.2-10, 3.1.2-12, 3.1.2-16, 3.1.2-17, 3.1.3-1
/// Conformance 5: 3.1.2-7, 3.1.2-8, 3.1.2-10, 3.1.2-14, 3.1.2-15, 3.1.3-1, 3.1.3-3
/// Conformance 3.1: flows
#[test]
fn a_lost_connection_publishes_its_will_once_as_it_was_said() {
    for version in EVERY {
        for (qos, retain) in [
            (0, false),
            (1, false),
            (2, false),
            (0, true),
            (1, true),
            (2, true),
        ] {
            let (id, topic) = (unique("c"), unique("t"));
            let mut watcher = Wire::client(version);
            watcher.subscribe(&topic, 2);
            let connect = Connect::new(version, &id).will(&topic, "gone", qos, retain);
            let mut device = Wire::connect(&connect);
            device.fence();
            assert_eq!(watcher.fence(), []);
            device.vanish();
            let will = watcher.message();
            assert_eq!((will.text().as_str(), will.qos()), ("gone", qos));
            assert!(!will.retain(), "an established subscription");
            let kept = retained(version, &topic);
            assert_eq!(kept.is_some(), retain);
            if let Some(kept) = kept {
                assert_eq!((kept.text().as_str(), kept.retain()), ("gone", true));
            }
            // It was published: without a will of its own the next connection has none.
            Wire::connect(&Connect::new(version, &id)).vanish();
            // Another client's will comes behind whatever that left.
            let mark = Connect::new(version, &unique("c")).will(&topic, "mark", qos, false);
            Wire::connect(&mark).vanish();
            assert_eq!(watcher.texts_until("mark"), [""; 0]);
            let clear = Publish {
                topic: &topic,
                retain: true,
                ..Publish::default()
            };
            Wire::client(version).publish_this(&clear);
        }
    }
}

/// Conformance 3.1.1: 3.1.2-8, 3.1.2-10, 3.14.4-3
/// Conformance 5: 3.1.2-8, 3.1.2-10, 3.14.4-3
#[test]
fn disconnect_discards_the_will() {
    for version in EVERY {
        let (id, topic) = (unique("c"), unique("t"));
        let mut watcher = Wire::client(version);
        watcher.subscribe(&topic, 1);
        let connect = |text| Connect::kept(version, &id).will(&topic, text, 1, false);
        Wire::connect(&connect("never")).disconnect();
        // Nor does the session have it still.
        Wire::connect(&Connect::kept(version, &id)).vanish();
        // Whoever breaks the protocol is not saying goodbye.
        let mut rude = Wire::connect(&connect("rude"));
        rude.send(bytes::publish(version, "a/#", "x", 0, 0));
        rude.ended_for(0x90);
        assert_eq!(watcher.texts_until("rude"), [""; 0]);
        if version == V5 {
            // With other reasons than 0x00 it is published; with 0x00 in so many words it is not.
            for (text, reason) in [("none", 0x00), ("asked for", 0x04), ("error", 0x80)] {
                let mut device = Wire::connect(&connect(text));
                device.send(bytes::packet(0xE0, [reason]));
                assert_eq!(device.ended(), None);
                if reason > 0 {
                    assert_eq!(watcher.message().text(), text);
                }
            }
        }
        Wire::connect(&Connect::new(version, &id)).disconnect();
    }
}

/// Conformance 5: 3.1.2-7, 3.1.2-8, 3.1.3-9
#[test]
fn a_delayed_will_waits_and_is_taken_away_by_a_new_connection() {
    let topic = unique("t");
    let mut watcher = Wire::client(V5);
    watcher.subscribe(&topic, 1);
    let delayed = |id: &str, text, delay: u8, expiry: u8| {
        let mut connect = Connect {
            clean: false,
            ..Connect::new(V5, id)
                .with(&[0x11, 0, 0, 0, expiry])
                .will(&topic, text, 1, false)
        };
        connect.will.as_mut().unwrap().properties = vec![0x18, 0, 0, 0, delay];
        connect
    };
    let back = unique("c");
    Wire::connect(&delayed(&back, "never", 1, 60)).vanish();
    let back = Wire::connect(&Connect::kept(V5, &back));
    let start = Instant::now();
    // After its delay; after its session, which ends before; with its session, as that is ended.
    Wire::connect(&delayed(&unique("c"), "delay", 2, 60)).vanish();
    Wire::connect(&delayed(&unique("c"), "expiry", 60, 2)).vanish();
    let ended = unique("c");
    Wire::connect(&delayed(&ended, "ended", 60, 60)).vanish();
    let ended = Wire::connect(&Connect::new(V5, &ended));
    assert_eq!(watcher.message().text(), "ended");
    assert!(start.elapsed() < Duration::from_secs(2));
    let mut due = [watcher.message().text(), watcher.message().text()];
    due.sort();
    assert_eq!(due, ["delay", "expiry"]);
    let waited = start.elapsed();
    assert!(waited > Duration::from_millis(1800), "after {waited:?}");
    assert_eq!(watcher.fence(), [], "the will that was taken away");
    back.disconnect();
    ended.disconnect();
}

/// Conformance 3.1.1: 3.1.2-24
/// Conformance 5: 3.1.2-22, 3.2.2-22, 3.14.4-1
/// Conformance 3.1: flows
#[test]
fn a_silent_client_is_disconnected_after_one_and_a_half_keep_alives() {
    std::thread::scope(|scope| {
        for version in EVERY {
            scope.spawn(move || silent(version));
        }
    });
}

fn silent(version: u8) {
    let topic = unique("t");
    let mut watcher = Wire::client(version);
    watcher.subscribe(&topic, 1);
    let connect = |keep_alive, text| Connect {
        keep_alive,
        ..Connect::new(version, &unique("c")).will(&topic, text, 1, false)
    };
    let mut never = Wire::connect(&connect(0, "never"));
    let mut patient = Wire::connect(&connect(2, "patient"));
    let mut talker = Wire::connect(&connect(1, "talker"));
    let mut quiet = Wire::connect(&connect(1, "quiet"));
    if version == V5 {
        assert!(quiet.welcome.as_ref().unwrap().property(0x13).is_empty());
    }
    let start = Instant::now();
    // Any packet counts, and each gives the whole time again.
    let talking = std::thread::spawn(move || {
        for n in 0..7_u64 {
            let until = Duration::from_millis(500 * (n + 1)).saturating_sub(start.elapsed());
            std::thread::sleep(until);
            talker.publish("nobody/listens", "x", u8::try_from(n % 3).unwrap());
        }
        talker
    });
    quiet.ended_for(0x8D);
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(1450), "after {waited:?}");
    assert!(waited < Duration::from_millis(2900), "after {waited:?}");
    assert_eq!(
        watcher.message().text(),
        "quiet",
        "as if the network had failed"
    );
    patient.ended_for(0x8D);
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(2950), "after {waited:?}");
    assert_eq!(watcher.message().text(), "patient");
    talking.join().unwrap().disconnect();
    never.fence();
    never.disconnect();
    assert_eq!(watcher.fence(), []);
}

/// Conformance 3.1: bridge-bit, connect-flags, user-name-missing, password-needs-user-name
#[test]
fn what_mqtt_3_1_takes_in_a_connect() {
    let connect = Connect::new(V31, &unique("c"));
    let of = |flags, payload: &[u8]| connect.bytes_of(flags, payload);
    let (id, account) = (bytes::string(&connect.id), connect.payload());
    // The flags 0x01, Will QoS 3 and Will Retain without a will.
    for flags in [0xC3, 0xCA, 0xD2, 0xDA, 0xE2, 0xFB] {
        let mut wire = Wire::open(V31);
        wire.send(of(flags, &account));
        assert_eq!(wire.expect(2).body, [0, 0], "{flags:#x}");
    }
    for version in NUMBERED {
        let mut bridge = Connect::new(version, &unique("c")).bytes();
        bridge[8] |= 0x80;
        let mut wire = Wire::open(V311);
        wire.send(bridge);
        // 3.1.1 as in 3.1; MQTT 5 says itself what a bridge needs.
        assert_eq!(wire.expect(2).body[1], u8::from(version == V5));
    }
    let mut bridge = connect.bytes();
    bridge[10] |= 0x80;
    let mut wire = Wire::open(V31);
    wire.send(bridge);
    assert_eq!(wire.expect(2).body, [0, 0]);
    // Flags that announce what is not there: nobody, who is not let in, but the packet is legal.
    for flags in [0x82, 0xC2] {
        let mut wire = Wire::open(V31);
        wire.send(of(flags, &id));
        assert_eq!(wire.expect(2).body, [0, 5]);
        assert_eq!(wire.next(), None);
    }
    let mut wire = Wire::open(V31);
    wire.send(of(0x42, &[&id[..], &bytes::string("secret")].concat()));
    assert_eq!(wire.next(), None);
}
