//! Slots that come late, pause and go (architecture section 3).

use crate::world::{Got, Opts, World, with_shard};
use isthmus_mqtt::Version::{V5, V311};

#[test]
fn a_connect_waits_for_its_slot_and_is_refused_after_15_seconds() {
    let mut w = World::with(1, 1, |_, _| {});
    w.holds.reads = true;
    w.crash(|_| false);
    w.settle();
    let (a, b, c) = (w.client("a", V5), w.client("b", V311), w.client("c", V5));
    w.start_connect(a, &Opts::clean());
    w.start_connect(b, &Opts::durable());
    w.pass(14);
    assert_eq!((w.got(a), w.got(b)), (vec![], vec![]));
    w.pass(2);
    assert_eq!(
        w.got(a),
        [
            Got::ConnAck {
                present: false,
                reason: 0x88
            },
            Got::Closed
        ]
    );
    // 0x03 on the wire.
    assert_eq!(
        w.got(b),
        [
            Got::ConnAck {
                present: false,
                reason: 0x88
            },
            Got::Closed
        ]
    );
    w.start_connect(c, &Opts::durable());
    w.pass(3);
    w.holds.reads = false;
    w.settle();
    assert_eq!(
        w.got(c),
        [Got::ConnAck {
            present: false,
            reason: 0
        }]
    );
}

#[test]
fn a_connect_whose_commit_does_not_come_is_refused_after_15_seconds() {
    let mut w = World::with(1, 1, |_, _| {});
    w.holds.commits = true;
    let a = w.client("a", V5);
    w.start_connect(a, &Opts::durable());
    w.pass(16);
    assert_eq!(
        w.got(a),
        [
            Got::ConnAck {
                present: false,
                reason: 0x88
            },
            Got::Closed
        ]
    );
    w.holds.commits = false;
    w.settle();
    assert_eq!(w.got(a), []);
    assert!(w.connect(a, &Opts::durable()).is_ok());
}

#[test]
fn a_suspended_slot_serves_what_is_live_and_goes_on_from_memory() {
    let mut w = World::with(1, 1, |_, _| {});
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(a, "t", 1);
    w.shards[0].suspend_slot(0);
    w.holds.reads = true;
    w.got(b);
    w.publish(b, "t", 0, "live");
    w.publish(b, "t", 1, "durable");
    w.publish(b, "p/x", 1, "stored");
    assert_eq!(w.payloads(a), ["live"]);
    assert_eq!(
        w.got(b),
        [Got::Ack("PUBACK", 1, 0), Got::Ack("PUBACK", 2, 0)]
    );
    w.start_subscribe(a, &[crate::world::Filter::new("u", 1)], None);
    w.pass(3);
    assert_eq!(w.got(a), []);
    with_shard!(&mut w, 0, |shard, view, fx| shard.resume_slot(view, 0, fx)).unwrap();
    w.holds.reads = false;
    w.settle();
    let got = w.got(a);
    assert!(got.contains(&Got::SubAck(vec![1])), "{got:?}");
    assert!(
        got.iter()
            .any(|g| matches!(g, Got::Publish(p) if p.payload == "durable"))
    );
}

/// Nothing of a commit is visible: it goes with the next, and the clients are told after that.
#[test]
fn what_a_fenced_commit_held_is_committed_after_it() {
    let mut w = World::with(1, 2, |_, _| {});
    let a = w.client("a", V5);
    w.holds.commits = true;
    w.start_connect(a, &Opts::durable());
    w.settle();
    w.fence_commits();
    w.holds.commits = false;
    assert_eq!(w.got(a), []);
    w.pass(1);
    assert_eq!(
        w.got(a),
        [Got::ConnAck {
            present: false,
            reason: 0
        }]
    );
    w.pass(1);
    assert!(w.log.state_keys().contains(&"s/a".to_owned()));
    assert_eq!(w.log.presence.len(), 1);
}

/// Invariant 4: who lost a slot says nothing about it any more.
#[test]
fn a_dropped_slot_takes_its_clients_and_leaves_no_trace_of_its_end() {
    let mut w = World::with(1, 1, |_, _| {});
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::durable().will("p/w", "gone", 1, 0))
        .unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(a, "t", 1);
    w.pass(2);
    let before = w.log.state_keys();
    w.got(a);
    with_shard!(&mut w, 0, |shard, view, fx| shard.drop_slot(view, 0, fx));
    w.pass(3);
    assert_eq!(w.got(a), [Got::Disconnect(0x8B), Got::Closed]);
    assert_eq!(w.log.state_keys(), before);
    assert!(
        w.log.payloads("p").is_empty(),
        "the next owner publishes the will"
    );
    // It comes back: now it is this one that ends them, once.
    w.restore(0);
    w.settle();
    w.pass(2);
    assert_eq!(w.log.payloads("p"), ["gone"]);
    assert_eq!(w.connect(a, &Opts::durable()), Ok(true));
    w.connect(b, &Opts::clean()).unwrap();
    w.publish(b, "t", 1, "x");
    assert_eq!(w.payloads(a), ["x"]);
}
