//! Retained messages towards subscribers.

use crate::world::{Filter, Got, Opts, World};
use isthmus_mqtt::RetainHandling;
use isthmus_mqtt::Version::{V5, V311};

fn retained(w: &mut World) -> usize {
    let a = w.client("pub", V5);
    w.connect(a, &Opts::clean()).unwrap();
    w.publish_retained(a, "t/1", 1, "one");
    w.publish_retained(a, "t/0", 0, "zero");
    a
}

#[test]
fn a_new_subscription_gets_what_is_retained_with_retain_set() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = World::new();
        retained(&mut w);
        let b = w.client("b", V311);
        w.connect(b, &opts).unwrap();
        w.subscribe(b, "t/#", 2);
        let mut got: Vec<_> = w
            .published(b)
            .into_iter()
            .map(|p| (p.payload, p.qos, p.retain))
            .collect();
        got.sort();
        assert_eq!(
            got,
            [("one".to_owned(), 1, true), ("zero".to_owned(), 0, true)]
        );
    }
}

#[test]
fn retain_handling() {
    for opts in [Opts::clean(), Opts::durable()] {
        for (handling, first, again) in [
            (RetainHandling::Send, 2, 2),
            (RetainHandling::SendIfNew, 2, 0),
            (RetainHandling::DoNotSend, 0, 0),
        ] {
            let mut w = World::new();
            retained(&mut w);
            let b = w.client("b", V5);
            w.connect(b, &opts).unwrap();
            for want in [first, again] {
                w.subscribe_to(b, &[Filter::new("t/#", 1).handling(handling)], None);
                assert_eq!(w.published(b).len(), want, "{handling:?}");
            }
        }
    }
}

#[test]
fn retain_as_published() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = World::new();
        let a = retained(&mut w);
        let (b, c) = (w.client("b", V5), w.client("c", V5));
        w.connect(b, &opts).unwrap();
        w.connect(c, &opts).unwrap();
        w.subscribe_to(b, &[Filter::new("x", 1).retain_as_published()], None);
        w.subscribe(c, "x", 1);
        w.publish_retained(a, "x", 1, "r");
        w.publish(a, "x", 1, "n");
        let flags = |got: Vec<crate::world::Pub>| got.iter().map(|p| p.retain).collect::<Vec<_>>();
        assert_eq!(flags(w.published(b)), [true, false]);
        assert_eq!(flags(w.published(c)), [false, false]);
    }
}

#[test]
fn an_empty_payload_clears_and_shared_subscriptions_get_none() {
    let mut w = World::new();
    let a = retained(&mut w);
    w.publish_retained(a, "t/1", 1, "");
    w.publish_retained(a, "t/0", 0, "");
    assert!(w.retained.is_empty());
    w.publish_retained(a, "t/2", 1, "two");
    let b = w.client("b", V5);
    w.connect(b, &Opts::durable()).unwrap();
    w.subscribe(b, "$share/g/t/#", 1);
    assert!(w.published(b).is_empty());
    w.subscribe(b, "t/#", 1);
    assert_eq!(w.payloads(b), ["two"]);
}

/// Invariant 1
#[test]
fn puback_of_a_retained_publish_waits_for_its_record() {
    let mut w = World::new();
    let a = w.client("a", V5);
    w.connect(a, &Opts::clean()).unwrap();
    w.got(a);
    w.holds.retained = true;
    w.publish_retained(a, "t", 1, "x");
    w.publish_retained(a, "t", 2, "y");
    assert_eq!(w.got(a), []);
    w.holds.retained = false;
    w.settle();
    assert_eq!(
        w.got(a),
        [
            Got::Ack("PUBACK", 1, 0),
            Got::Ack("PUBREC", 2, 0),
            Got::Ack("PUBCOMP", 2, 0)
        ]
    );
    w.crash_now();
    let b = w.client("b", V5);
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(b, "t", 1);
    assert_eq!(w.payloads(b), ["y"]);
}

#[test]
fn a_durable_retained_delivery_is_repeated_like_any_other() {
    let mut w = World::new();
    retained(&mut w);
    let b = w.client("b", V5);
    w.connect(b, &Opts::durable()).unwrap();
    w.clients[b].answers = false;
    w.subscribe(b, "t/1", 1);
    let first = w.published(b);
    w.pass(2);
    w.crash_now();
    w.connect(b, &Opts::durable()).unwrap();
    let again = w.published(b);
    assert_eq!(
        (first[0].id, &*first[0].payload, first[0].retain),
        (again[0].id, &*again[0].payload, again[0].retain)
    );
    assert!(again[0].dup);
}

#[test]
fn no_local_holds_for_retained_messages_too() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = World::new();
        let b = w.client("b", V5);
        w.connect(b, &opts).unwrap();
        w.publish_retained(b, "t", 1, "own");
        w.subscribe_to(b, &[Filter::new("t", 1).no_local()], None);
        assert!(w.published(b).is_empty());
    }
}
