//! Subscriptions and their options.

use crate::world::{Filter, Got, Opts, World};
use isthmus_mqtt::Version::{V5, V31, V311};

#[test]
fn no_local() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = World::new();
        let (a, b) = (w.client("a", V5), w.client("b", V5));
        w.connect(a, &opts).unwrap();
        w.connect(b, &Opts::clean()).unwrap();
        w.subscribe_to(a, &[Filter::new("t", 1).no_local()], None);
        for qos in [0, 1, 2] {
            w.publish(a, "t", qos, "own");
            w.publish(b, "t", qos, "other");
        }
        assert_eq!(w.payloads(a), ["other"; 3]);
    }
}

/// The QoS 0 subscription beside it is one of its own.
#[test]
fn no_local_on_one_subscription_leaves_the_other() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = World::new();
        let a = w.client("a", V5);
        w.connect(a, &opts).unwrap();
        w.subscribe_to(
            a,
            &[Filter::new("t/+", 1).no_local(), Filter::new("t/#", 0)],
            None,
        );
        w.publish(a, "t/x", 1, "own");
        assert_eq!(w.payloads(a), ["own"]);
    }
}

#[test]
fn overlapping_subscriptions_give_one_delivery_with_every_identifier() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = World::new();
        let (a, b) = (w.client("a", V5), w.client("b", V5));
        w.connect(a, &opts).unwrap();
        w.connect(b, &Opts::clean()).unwrap();
        w.subscribe_to(a, &[Filter::new("t/#", 0)], Some(7));
        w.subscribe_to(a, &[Filter::new("t/+", 2)], Some(9));
        w.subscribe_to(a, &[Filter::new("t/x", 1)], None);
        for qos in [0, 1, 2] {
            w.publish(b, "t/x", qos, "x");
            let got = w.published(a);
            assert_eq!(got.len(), 1);
            assert_eq!(got[0].qos, qos);
            let mut ids = got[0].subscription_ids.clone();
            ids.sort_unstable();
            assert_eq!(ids, [7, 9]);
        }
    }
}

#[test]
fn unsubscribing_ends_deliveries_and_names_what_was_not_there() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = World::new();
        let (a, b) = (w.client("a", V5), w.client("b", V5));
        w.connect(a, &opts).unwrap();
        w.connect(b, &Opts::clean()).unwrap();
        w.subscribe(a, "t", 1);
        w.got(a);
        w.start_unsubscribe(a, "t");
        w.settle();
        w.start_unsubscribe(a, "t");
        w.settle();
        assert_eq!(
            w.got(a),
            [Got::UnsubAck(vec![0]), Got::UnsubAck(vec![0x11])]
        );
        w.publish(b, "t", 1, "x");
        assert!(w.payloads(a).is_empty());
        w.pass(1);
        assert!(w.routes.is_empty());
    }
}

/// Ruling 13
#[test]
fn subscribing_again_replaces_and_loses_nothing_that_is_queued() {
    let mut w = World::with(2, 4, |_, limits| limits.max_inflight = 2);
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(a, "t", 1);
    w.clients[a].answers = false;
    for n in 0..5 {
        w.publish(b, "t", 1, &n.to_string());
    }
    assert_eq!(w.payloads(a), ["0", "1"]);
    w.subscribe(a, "t", 2);
    w.clients[a].answers = true;
    w.connect(a, &Opts::durable()).unwrap();
    w.publish(b, "t", 2, "5");
    let got = w.published(a);
    let got: Vec<_> = got.iter().map(|p| (&*p.payload, p.qos)).collect();
    assert_eq!(
        got,
        [("0", 1), ("1", 1), ("2", 1), ("3", 1), ("4", 1), ("5", 2)]
    );
}

#[test]
fn an_illegal_filter_is_refused_by_itself_in_v5_and_closes_3x() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V311));
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    assert_eq!(
        w.subscribe_to(a, &[Filter::new("a/#/b", 1), Filter::new("t", 1)], None),
        [0x8F, 1]
    );
    w.got(b);
    w.start_subscribe(b, &[Filter::new("a/#/b", 1)], None);
    w.settle();
    assert_eq!(w.got(b), [Got::Closed]);
}

#[test]
fn no_more_subscriptions_than_allowed() {
    let mut w = World::with(1, 1, |_, limits| limits.max_subscriptions_per_client = 2);
    let a = w.client("a", V5);
    w.connect(a, &Opts::durable()).unwrap();
    let filters = [
        Filter::new("1", 1),
        Filter::new("2", 1),
        Filter::new("3", 1),
        Filter::new("2", 0),
    ];
    assert_eq!(w.subscribe_to(a, &filters, None), [1, 1, 0x97, 0]);
}

#[test]
fn a_subscription_begins_at_its_marker_and_survives_a_crash() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.publish(b, "t", 1, "before");
    w.holds.reads = true;
    w.subscribe(a, "t", 1);
    // The marker is in the inbox, not read: the commit holds it all the same.
    w.holds.reads = false;
    w.crash_now();
    w.connect(b, &Opts::clean()).unwrap();
    w.publish(b, "t", 1, "after");
    w.publish(b, "t", 0, "live");
    assert_eq!(w.connect(a, &Opts::durable()), Ok(true));
    assert_eq!(w.payloads(a), ["after"]);
}

/// SUBACK has said QoS 0, and the marker is not read back: behind it the inbox brings nothing.
#[test]
fn a_subscription_lowered_to_qos_0_brings_messages_from_its_suback_on() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(a, "t", 2);
    w.holds.reads = true;
    w.subscribe(a, "t", 0);
    for qos in [1, 2] {
        w.publish(b, "t", qos, "x");
    }
    w.holds.reads = false;
    w.settle();
    let got: Vec<_> = w.published(a).iter().map(|p| p.qos).collect();
    assert_eq!(got, [0, 0]);
}

#[test]
fn a_refused_subscription_is_told_as_each_version_can() {
    for (version, code) in [(V31, 0x80), (V311, 0x80), (V5, 0x8F)] {
        let mut w = World::new();
        let a = w.client("a", version);
        w.connect(a, &Opts::clean()).unwrap();
        let long = "x/".repeat(30_000);
        assert_eq!(w.subscribe_to(a, &[Filter::new(&long, 2)], None), [code]);
    }
}
