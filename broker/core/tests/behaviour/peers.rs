//! Other pods: what goes to them, and what is waited for (architecture section 4).

use crate::world::{Got, Opts, World, with_shard};
use isthmus_core::routes::Kinds;
use isthmus_mqtt::Version::V5;

fn linked() -> World {
    let mut w = World::new();
    w.routes.set_linked(true);
    w
}

fn acks(w: &mut World, client: usize) -> Vec<&'static str> {
    let got = w.got(client).into_iter();
    got.filter_map(|got| match got {
        Got::Ack(kind, ..) => Some(kind),
        Got::SubAck(..) => Some("SUBACK"),
        _ => None,
    })
    .collect()
}

#[test]
fn a_suback_waits_for_the_other_pods_word() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = linked();
        let a = w.client("a", V5);
        w.connect(a, &opts).unwrap();
        w.start_subscribe(a, &[crate::world::Filter::new("t", 1)], None);
        w.settle();
        assert_eq!(acks(&mut w, a), [""; 0]);
        let (at, token) = w.peers.syncs.pop().unwrap();
        with_shard!(&mut w, at, |shard, view, fx| shard.synced(view, token, fx));
        assert_eq!(acks(&mut w, a), ["SUBACK"]);
    }
}

#[test]
fn a_pod_that_does_not_answer_holds_up_a_suback_for_a_bounded_time() {
    for (opts, ms) in [(Opts::clean(), 200), (Opts::durable(), 1000)] {
        let mut w = linked();
        let a = w.client("a", V5);
        w.connect(a, &opts).unwrap();
        w.start_subscribe(a, &[crate::world::Filter::new("t", 1)], None);
        w.settle();
        w.tick(ms - 10);
        assert_eq!(acks(&mut w, a), [""; 0]);
        w.tick(10);
        assert_eq!(acks(&mut w, a), ["SUBACK"]);
    }
}

#[test]
fn a_word_that_comes_before_the_commit_is_not_enough() {
    let mut w = linked();
    let a = w.client("a", V5);
    w.connect(a, &Opts::durable()).unwrap();
    w.holds.commits = true;
    w.start_subscribe(a, &[crate::world::Filter::new("t", 1)], None);
    w.settle();
    let (at, token) = w.peers.syncs.pop().unwrap();
    with_shard!(&mut w, at, |shard, view, fx| shard.synced(view, token, fx));
    assert_eq!(acks(&mut w, a), [""; 0]);
    w.holds.commits = false;
    w.settle();
    assert_eq!(acks(&mut w, a), ["SUBACK"]);
}

#[test]
fn a_publish_is_acknowledged_when_the_other_pod_took_it() {
    let mut w = linked();
    w.routes.owned(2, 0, 7, Some(5));
    w.routes.linked(2, "t", Kinds::LIVE, 1, (7, Some(5)));
    let a = w.client("a", V5);
    w.connect(a, &Opts::clean()).unwrap();
    for (qos, ack) in [(1, "PUBACK"), (2, "PUBREC")] {
        w.publish(a, "t", qos, "x");
        assert_eq!(acks(&mut w, a), [""; 0]);
        let (at, peer, live) = w.peers.lives.pop().unwrap();
        assert_eq!((peer, live.all), (5, true));
        let token = live.answer.unwrap();
        with_shard!(&mut w, at, |shard, view, fx| shard
            .live_answered(view, token, 1, fx));
        assert_eq!(acks(&mut w, a), [ack]);
    }
    w.publish(a, "t", 0, "x");
    let (.., live) = w.peers.lives.pop().unwrap();
    assert_eq!(live.answer, None);
}
