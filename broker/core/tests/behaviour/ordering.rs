//! A device's messages stand in Kafka in its order (invariant 2).

use crate::world::{Got, Opts, Step, World};
use isthmus_mqtt::Version::{V5, V311};

#[test]
fn mixed_qos_under_stored_parents_keeps_the_devices_order() {
    let mut w = World::new();
    let a = w.client("a", V311);
    w.connect(a, &Opts::durable()).unwrap();
    for (n, qos) in [0, 1, 2, 1, 0, 2, 2, 1].into_iter().enumerate() {
        w.start_publish(a, &format!("p/{n}"), qos, &n.to_string(), false);
    }
    // Transactions first wherever they could be: the lanes alone keep the order.
    while let Some(step) = w.steps().last().cloned() {
        w.take(&step);
    }
    assert_eq!(
        w.log.payloads("p"),
        ["0", "1", "2", "3", "4", "5", "6", "7"]
    );
    let seqs: Vec<u64> = w.log.parents["p"].iter().map(|r| r.seq).collect();
    assert!(seqs.is_sorted());
}

#[test]
fn one_devices_transaction_does_not_hold_up_another_device() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V311), w.client("b", V311));
    w.connect(a, &Opts::clean()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.holds.exact = true;
    w.publish(a, "p/a", 2, "a2");
    w.publish(a, "p/a", 1, "a1");
    w.publish(b, "p/b", 1, "b1");
    assert_eq!(w.log.payloads("p"), ["b1"]);
    w.holds.exact = false;
    w.settle();
    assert_eq!(w.log.payloads("p"), ["b1", "a2", "a1"]);
}

#[test]
fn an_ordered_parent_takes_one_record_at_a_time_whatever_its_qos() {
    let mut w = World::new();
    let a = w.client("a", V5);
    w.connect(a, &Opts::clean()).unwrap();
    for qos in [0, 1, 2, 0, 1] {
        w.start_publish(a, "orderMsg2mq-o/x", qos, &format!("q{qos}"), false);
    }
    w.holds.exact = true;
    w.settle();
    let transactions = |w: &World| {
        w.steps()
            .iter()
            .filter(|s| matches!(s, Step::Land(_)))
            .count()
    };
    w.holds.exact = false;
    assert_eq!(transactions(&w), 1);
    w.settle();
    assert_eq!(
        w.log.payloads("orderMsg2mq-o"),
        ["q0", "q1", "q2", "q0", "q1"]
    );
    assert_eq!(w.clients[a].acked, ["q1", "q2", "q1"]);
}

#[test]
fn after_a_refusal_under_an_ordered_parent_nothing_overtakes_and_the_device_is_disconnected() {
    for qos in [1, 2] {
        let mut w = World::new();
        let a = w.client("a", V5);
        w.connect(a, &Opts::durable()).unwrap();
        w.holds.refused.insert("bad".to_owned());
        w.got(a);
        for payload in ["good", "bad", "late", "later"] {
            w.start_publish(a, "orderMsg2mq-o/x", qos, payload, false);
        }
        w.settle();
        assert_eq!(w.log.payloads("orderMsg2mq-o"), ["good"]);
        let got = w.got(a);
        assert!(
            got.ends_with(&[Got::Disconnect(0x97), Got::Closed]),
            "{got:?}"
        );
        assert_eq!(w.clients[a].acked, ["good"]);
        // It comes back and says the rest again.
        w.connect(a, &Opts::durable()).unwrap();
        w.settle();
        assert_eq!(w.log.payloads("orderMsg2mq-o"), ["good", "late", "later"]);
    }
}

#[test]
fn order_holds_over_a_reconnect() {
    let mut w = World::new();
    let a = w.client("a", V5);
    w.connect(a, &Opts::durable()).unwrap();
    w.holds.exact = true;
    w.publish(a, "p/x", 2, "1");
    w.publish(a, "p/x", 1, "2");
    w.connect(a, &Opts::durable()).unwrap();
    w.publish(a, "p/x", 1, "3");
    w.holds.exact = false;
    w.settle();
    let mut seen = w.log.payloads("p");
    seen.dedup();
    let first: Vec<_> = ["1", "2", "3"]
        .iter()
        .map(|p| seen.iter().position(|s| s == p).unwrap())
        .collect();
    assert!(first.is_sorted(), "{seen:?}");
    assert_eq!(seen.iter().filter(|p| **p == "1").count(), 1);
}
