//! A second connection with the same clientId.

use crate::world::{Got, Opts, World};
use isthmus_mqtt::Version::{V5, V311};

#[test]
fn a_takeover_tells_the_old_connection_and_resumes_the_durable_session() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    // Two clients with the same id: the second takes over.
    let other = w.client("a", V5);
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(a, "t", 1);
    w.got(a);
    assert_eq!(w.connect(other, &Opts::durable()), Ok(true));
    assert_eq!(w.got(a), [Got::Disconnect(0x8E), Got::Closed]);
    w.publish(b, "t", 1, "x");
    assert_eq!(w.payloads(other), ["x"]);
}

#[test]
fn a_takeover_of_a_clean_session_begins_anew() {
    let mut w = World::new();
    let (a, other) = (w.client("a", V311), w.client("a", V311));
    w.connect(a, &Opts::clean()).unwrap();
    w.subscribe(a, "t", 1);
    w.got(a);
    assert_eq!(w.connect(other, &Opts::durable()), Ok(false));
    assert_eq!(w.got(a), [Got::Closed]);
    w.publish(other, "t", 1, "x");
    assert!(w.payloads(other).is_empty());
}

/// Ruling 16
#[test]
fn at_a_takeover_come_the_disconnect_event_then_the_will_then_the_connect_event() {
    let mut w = World::new();
    let (a, other) = (w.client("a", V311), w.client("a", V311));
    w.connect(a, &Opts::clean().will("p/w", "gone", 1, 0))
        .unwrap();
    w.pass(2);
    w.log.story.clear();
    w.connect(other, &Opts::clean()).unwrap();
    w.pass(2);
    let presence: Vec<_> = w
        .log
        .story
        .iter()
        .filter(|line| !line.starts_with("stored"))
        .collect();
    assert_eq!(presence, ["disconnect:a", "connect:a"]);
    assert_eq!(w.log.payloads("p"), ["gone"]);
}

#[test]
fn a_connect_that_waits_for_its_commit_can_be_taken_over() {
    let mut w = World::new();
    let (a, other) = (w.client("a", V5), w.client("a", V5));
    w.holds.commits = true;
    w.start_connect(a, &Opts::durable().will("w", "first", 1, 0));
    w.settle();
    w.start_connect(other, &Opts::durable());
    w.settle();
    w.holds.commits = false;
    w.settle();
    assert!(
        !w.got(a).iter().any(|g| matches!(g, Got::ConnAck { .. })),
        "never told"
    );
    let got = w.got(other);
    assert!(
        matches!(got[..], [Got::ConnAck { reason: 0, .. }]),
        "{got:?}"
    );
    w.pass(2);
    let connects = w.log.presence.iter().filter(|p| p.connects).count();
    let disconnects = w.log.presence.iter().filter(|p| !p.connects).count();
    assert_eq!(connects, disconnects + 1, "{:?}", w.log.presence);
}

/// [MQTT-3.1.0-2], and table 3-10 of section 3.14.2.1: "unsupported version" is a CONNACK's word.
#[test]
fn a_second_connect_of_an_unknown_version_is_a_protocol_error() {
    let mut w = World::new();
    let a = w.client("a", V5);
    w.connect(a, &Opts::clean()).unwrap();
    w.got(a);
    w.write(a, b"\x10\x0C\0\x04MQTT\x06\x02\0\x3C\0\0".to_vec());
    w.pass(1);
    assert_eq!(w.got(a), [Got::Disconnect(0x82), Got::Closed]);
}
