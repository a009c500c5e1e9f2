//! What a client may not do.

use crate::world::{Got, Opts, World};
use isthmus_mqtt::Version::{V5, V311};

/// Holds back the acknowledgements of what a client sends.
fn busy(max_inflight: u16) -> (World, usize) {
    let mut w = World::with(1, 1, |_, limits| limits.max_inflight = max_inflight);
    let a = w.client("a", V5);
    w.connect(a, &Opts::durable()).unwrap();
    w.got(a);
    w.holds.parents = true;
    w.holds.exact = true;
    (w, a)
}

#[test]
fn more_in_flight_than_our_receive_maximum_is_a_protocol_error() {
    let (mut w, a) = busy(3);
    for qos in [1, 2, 1] {
        w.publish(a, "p/x", qos, "x");
    }
    assert_eq!(w.got(a), []);
    w.publish(a, "p/x", 1, "x");
    assert_eq!(w.got(a), [Got::Disconnect(0x93), Got::Closed]);
}

/// A QoS 2 message that is stored, but stands behind another in the order of acknowledgements,
/// counts once.
#[test]
fn exactly_our_receive_maximum_is_allowed() {
    let (mut w, a) = busy(3);
    w.holds.exact = false;
    w.publish(a, "p/x", 1, "1");
    w.publish(a, "t/x", 2, "2");
    w.publish(a, "p/x", 1, "3");
    assert_eq!(w.got(a), []);
    w.holds.parents = false;
    w.settle();
    assert_eq!(w.clients[a].acked, ["1", "2", "3"]);
}

#[test]
fn what_is_acknowledged_makes_room_again() {
    let mut w = World::with(1, 1, |_, limits| limits.max_inflight = 2);
    let a = w.client("a", V5);
    w.connect(a, &Opts::clean()).unwrap();
    for n in 0..50 {
        w.publish(a, "p/x", 1 + n % 2, &n.to_string());
    }
    assert_eq!(w.clients[a].acked.len(), 50);
}

#[test]
fn topics_past_the_limits_are_refused() {
    let mut w = World::with(1, 1, |_, limits| {
        limits.max_topic_length = 10;
        limits.max_topic_levels = 3;
        limits.max_payload_size = Some(5);
    });
    let (a, b) = (w.client("a", V5), w.client("b", V311));
    w.connect(a, &Opts::clean()).unwrap();
    w.got(a);
    w.publish(a, "12345678901", 1, "x");
    w.publish(a, "1/2/3/4", 1, "x");
    w.publish(a, "1/2/3", 1, "123456");
    w.publish(a, "1/2/3", 1, "12345");
    let codes: Vec<_> = w
        .got(a)
        .into_iter()
        .map(|g| {
            if let Got::Ack(_, _, code) = g {
                code
            } else {
                1
            }
        })
        .collect();
    assert_eq!(codes, [0x90, 0x90, 0x97, 0]);
    w.connect(b, &Opts::clean()).unwrap();
    w.got(b);
    w.publish(b, "1/2/3/4", 0, "x");
    assert_eq!(w.got(b), [Got::Closed]);
}

#[test]
fn the_publish_rate_is_back_pressure() {
    let mut w = World::with(1, 1, |_, limits| limits.publish_rate_per_client = Some(10));
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::clean()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(b, "t", 0);
    for n in 0..40 {
        w.start_publish(a, "t", 0, &n.to_string(), false);
    }
    w.settle();
    let at_once = w.payloads(b).len();
    assert!((10..=12).contains(&at_once), "{at_once}");
    w.pass(1);
    let next = w.payloads(b).len();
    assert!((8..=12).contains(&next), "{next}");
    w.pass(3);
    assert_eq!(at_once + next + w.payloads(b).len(), 40);
}

/// 3.x has no Receive Maximum: the connection is not read any more, and then again.
#[test]
fn a_3x_client_that_is_owed_too_much_is_not_read() {
    let mut w = World::with(1, 1, |_, _| {});
    let a = w.client("a", V311);
    w.connect(a, &Opts::clean()).unwrap();
    w.holds.parents = true;
    for n in 0..5000 {
        w.start_publish(a, "p/x", 1, &n.to_string(), false);
    }
    w.settle();
    let unread = w
        .conns
        .values()
        .map(|link| link.unread.len())
        .sum::<usize>();
    assert!(unread > 800, "{unread}");
    w.holds.parents = false;
    w.settle();
    assert_eq!(w.clients[a].acked.len(), 5000);
}
