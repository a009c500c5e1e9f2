//! Retained messages for new subscriptions where other pods retain messages too.

use crate::world::{Filter, Got, Opts, World, with_shard};
use isthmus_core::Message;
use isthmus_mqtt::RetainHandling;
use isthmus_mqtt::Version::{V5, V311};
use std::sync::Arc;

/// Another pod's retained message comes to this one.
fn learn(w: &mut World, topic: &str, qos: u8, payload: &str) {
    let mut message = Message::new(topic, &[], payload.as_bytes());
    message.qos = isthmus_mqtt::QoS::from_bits(qos).unwrap();
    message.retain = true;
    w.retained
        .logged(topic, None, None, Some(Arc::new(message)));
}

fn unread() -> World {
    let mut w = World::beside_others();
    w.holds.refreshes = true;
    w
}

fn read(w: &mut World) {
    w.holds.refreshes = false;
    w.settle();
    w.holds.refreshes = true;
}

fn subscribed(w: &mut World, opts: &Opts, filters: &[Filter]) -> usize {
    let b = w.client("b", V5);
    w.connect(b, opts).unwrap();
    w.got(b);
    w.start_subscribe(b, filters, Some(7));
    w.settle();
    b
}

#[test]
fn a_replay_has_what_another_pod_retained_before() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = unread();
        let b = subscribed(&mut w, &opts, &[Filter::new("t/#", 2)]);
        assert!(w.published(b).is_empty());
        learn(&mut w, "t/1", 1, "one");
        learn(&mut w, "t/0", 0, "zero");
        read(&mut w);
        let mut got: Vec<_> = w
            .published(b)
            .into_iter()
            .map(|p| (p.payload, p.qos, p.retain, p.subscription_ids))
            .collect();
        got.sort();
        assert_eq!(
            got,
            [
                ("one".to_owned(), 1, true, vec![7]),
                ("zero".to_owned(), 0, true, vec![7])
            ]
        );
        assert!(w.is_idle());
    }
}

#[test]
fn suback_of_a_clean_session_does_not_wait_and_a_durable_one_promises_the_replay() {
    let suback = |w: &mut World, b| {
        let got = w.got(b);
        got.contains(&Got::SubAck(vec![1]))
    };
    let mut w = unread();
    let b = subscribed(&mut w, &Opts::clean(), &[Filter::new("t", 1)]);
    assert!(suback(&mut w, b));

    let mut w = unread();
    let b = subscribed(&mut w, &Opts::durable(), &[Filter::new("t", 1)]);
    assert!(!suback(&mut w, b));
    learn(&mut w, "t", 1, "x");
    // The answer is written, and the bytes of the message are only in the log.
    w.holds.reads = true;
    read(&mut w);
    assert!(suback(&mut w, b));
    w.holds.reads = false;
    w.crash_now();
    w.connect(b, &Opts::durable()).unwrap();
    assert_eq!(w.payloads(b), ["x"]);
}

#[test]
fn without_a_question_nothing_waits() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = unread();
        let filters = [
            Filter::new("t", 1).handling(RetainHandling::DoNotSend),
            Filter::new("$share/g/t", 1),
        ];
        let b = subscribed(&mut w, &opts, &filters);
        assert!(w.got(b).contains(&Got::SubAck(vec![1, 1])));
        assert!(w.is_idle());
    }
}

#[test]
fn kafka_is_not_waited_for_longer_than_half_a_minute() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = unread();
        learn(&mut w, "t", 1, "known");
        let b = subscribed(&mut w, &opts, &[Filter::new("t", 1)]);
        w.tick(29_999);
        w.settle();
        assert!(w.published(b).is_empty());
        w.tick(1);
        w.settle();
        assert_eq!(w.payloads(b), ["known"]);
        learn(&mut w, "t", 1, "late");
        read(&mut w);
        assert!(w.published(b).is_empty(), "a late answer changes nothing");
    }
}

#[test]
fn what_was_unsubscribed_meanwhile_has_no_replay() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = unread();
        learn(&mut w, "t", 1, "t");
        learn(&mut w, "u", 1, "u");
        let b = subscribed(&mut w, &opts, &[Filter::new("t", 1), Filter::new("u", 1)]);
        w.start_unsubscribe(b, "t");
        w.settle();
        read(&mut w);
        let got = w.got(b);
        let acks = got.iter().filter_map(|got| match got {
            Got::SubAck(codes) => Some(("SUBACK", codes.clone())),
            Got::UnsubAck(codes) => Some(("UNSUBACK", codes.clone())),
            _ => None,
        });
        assert_eq!(
            acks.collect::<Vec<_>>(),
            [("SUBACK", vec![1, 1]), ("UNSUBACK", vec![0])]
        );
        let payloads = got.iter().filter_map(|got| match got {
            Got::Publish(p) => Some(p.payload.clone()),
            _ => None,
        });
        assert_eq!(payloads.collect::<Vec<_>>(), ["u"]);
        let a = w.client("a", V5);
        w.connect(a, &Opts::clean()).unwrap();
        w.publish(a, "t", 1, "no");
        w.publish(a, "u", 1, "yes");
        assert_eq!(w.payloads(b), ["yes"]);
        w.crash_now();
        read(&mut w);
        if w.connect(b, &opts).unwrap() {
            w.connect(a, &Opts::clean()).unwrap();
            w.publish(a, "t", 1, "no");
            w.publish(a, "u", 1, "again");
            let got = w.payloads(b);
            assert_eq!(got.last().map(String::as_str), Some("again"), "{got:?}");
            assert!(!got.contains(&"no".to_owned()), "{got:?}");
        }
    }
}

#[test]
fn each_subscribe_has_its_own_replay_in_order() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = unread();
        learn(&mut w, "t", 2, "x");
        let b = subscribed(&mut w, &opts, &[Filter::new("t", 2)]);
        w.start_unsubscribe(b, "t");
        w.start_subscribe(b, &[Filter::new("t", 1)], None);
        w.settle();
        read(&mut w);
        let got = w.published(b);
        let got: Vec<_> = got.into_iter().map(|p| (p.payload, p.qos)).collect();
        assert_eq!(got, [("x".to_owned(), 1)]);
        w.start_subscribe(b, &[Filter::new("t", 2)], None);
        w.start_subscribe(b, &[Filter::new("t", 2)], None);
        w.settle();
        read(&mut w);
        assert_eq!(w.published(b).len(), 2);
    }
}

#[test]
fn a_connection_that_is_gone_gets_nothing_and_its_durable_session_does() {
    for durable in [false, true] {
        let opts = if durable {
            Opts::durable()
        } else {
            Opts::clean()
        };
        let mut w = unread();
        learn(&mut w, "t", 1, "x");
        let b = subscribed(&mut w, &opts, &[Filter::new("t", 1)]);
        w.drop_connection(b);
        w.got(b);
        assert_eq!(w.connect(b, &opts), Ok(durable));
        read(&mut w);
        let got = w.got(b);
        assert!(!got.iter().any(|got| matches!(got, Got::SubAck(_))));
        let published = got.iter().filter(|got| matches!(got, Got::Publish(_)));
        assert_eq!(published.count(), usize::from(durable));
    }
}

#[test]
fn a_session_that_ended_leaves_nothing() {
    let mut w = unread();
    learn(&mut w, "t", 1, "x");
    let b = subscribed(&mut w, &Opts::durable(), &[Filter::new("t", 1)]);
    w.connect(b, &Opts::clean()).unwrap();
    w.got(b);
    read(&mut w);
    assert_eq!(w.got(b), []);
    w.disconnect(b);
    w.pass(2);
    for shard in &w.shards {
        for (what, number) in shard.leftovers() {
            assert_eq!(number, 0, "{what}");
        }
    }
}

#[test]
fn a_slot_that_leaves_takes_its_replays_along() {
    let mut w = unread();
    learn(&mut w, "t", 1, "x");
    let b = subscribed(&mut w, &Opts::durable(), &[Filter::new("t", 1)]);
    let slot = isthmus_core::hash::slot("b", w.slots);
    with_shard!(&mut w, usize::from(slot) % 2, |shard, view, fx| shard
        .drop_slot(view, slot, fx));
    read(&mut w);
    assert!(!w.got(b).iter().any(|got| matches!(got, Got::SubAck(_))));
}

#[test]
fn rights_that_are_gone_end_a_replay() {
    let mut w = unread();
    learn(&mut w, "t", 1, "x");
    let b = w.client("b", V311);
    w.connect(b, &Opts::clean()).unwrap();
    w.start_subscribe(b, &[Filter::new("t", 1)], None);
    w.settle();
    w.rights.allow("b", &[]);
    w.directory_changed();
    read(&mut w);
    assert!(w.published(b).is_empty());
}
