//! A slot that is given away in order, and what a lost one leaves behind.

use crate::world::{Filter, Got, Opts, World, with_shard};
use isthmus_core::record::OWNER_KEY;
use isthmus_core::routes::Kinds;
use isthmus_core::shard::Shard;
use isthmus_mqtt::Version::{V5, V311};

/// Closes a slot as a driver does, and yields what is done.
fn close(w: &mut World, slot: u16) -> bool {
    w.settle();
    for _ in 0..10 {
        let done = with_shard!(w, 0, |shard, view, fx| shard.closed(view, fx));
        if done.contains(&slot) {
            return true;
        }
        w.settle();
    }
    false
}

fn leftovers(shard: &Shard) -> Vec<(&'static str, usize)> {
    shard
        .leftovers()
        .into_iter()
        .filter(|(_, n)| *n > 0)
        .collect()
}

#[test]
fn a_closed_slot_has_committed_everything_and_says_that_it_is_nobodys() {
    let mut w = World::with(1, 1, |_, _| {});
    let (a, b) = (w.client("a", V5), w.client("b", V311));
    w.connect(a, &Opts::durable().will("p/w", "gone", 1, 0))
        .unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(a, "t", 1);
    w.pass(2);
    assert!(w.log.routes[0].contains_key(OWNER_KEY));
    w.got(a);
    w.got(b);
    with_shard!(&mut w, 0, |shard, view, fx| shard.close_slot(view, 0, fx));
    assert!(close(&mut w, 0));
    assert_eq!(w.got(a), [Got::Disconnect(0x8B), Got::Closed]);
    assert_eq!(w.got(b), [Got::Closed]);
    assert!(!w.log.routes[0].contains_key(OWNER_KEY), "released");
    // The wills and disconnect events of its clients are said by who gave it away.
    assert_eq!(w.log.payloads("p"), ["gone"]);
    assert_eq!(w.log.presence.iter().filter(|p| !p.connects).count(), 2);
    assert_eq!(w.log.state_keys(), ["s/a"]);
    with_shard!(&mut w, 0, |shard, view, fx| shard.drop_slot(view, 0, fx));
    w.settle();
    assert_eq!(leftovers(&w.shards[0]), []);
    w.restore(0);
    w.settle();
    assert_eq!(w.connect(a, &Opts::durable()), Ok(true));
    assert_eq!(w.log.payloads("p"), ["gone"], "once");
}

/// The publisher would send it again, to the next owner: nothing may come after that.
#[test]
fn a_slot_closes_only_when_what_its_clients_sent_is_stored() {
    for qos in [1, 2] {
        let mut w = World::with(1, 1, |_, _| {});
        let a = w.client("a", V5);
        w.connect(a, &Opts::durable()).unwrap();
        w.holds.parents = true;
        w.holds.exact = true;
        w.start_publish(a, "p/x", qos, "one", false);
        w.settle();
        with_shard!(&mut w, 0, |shard, view, fx| shard.close_slot(view, 0, fx));
        assert!(!close(&mut w, 0), "QoS {qos}");
        w.holds.parents = false;
        w.holds.exact = false;
        assert!(close(&mut w, 0), "QoS {qos}");
        assert_eq!(w.log.payloads("p"), ["one"]);
    }
}

/// Whoever waits is served elsewhere soon: the publisher sends again what Kafka has not seen, and the
/// next owner publishes the will.
#[test]
fn a_slot_that_closes_for_long_leaves_what_is_not_under_way_to_the_next_owner() {
    let mut w = World::with(1, 1, |_, _| {});
    let a = w.client("a", V5);
    let options = Opts::durable().will("orderMsg2mq-o/w", "gone", 2, 0);
    w.connect(a, &options).unwrap();
    w.holds.exact = true;
    for payload in ["1", "2", "3"] {
        w.start_publish(a, "orderMsg2mq-o/x", 2, payload, false);
    }
    w.settle();
    with_shard!(&mut w, 0, |shard, view, fx| shard.close_slot(view, 0, fx));
    assert!(!close(&mut w, 0));
    w.pass(1);
    assert!(!close(&mut w, 0), "the first is under way");
    w.holds.exact = false;
    assert!(close(&mut w, 0));
    assert_eq!(w.log.payloads("orderMsg2mq-o"), ["1"]);
    with_shard!(&mut w, 0, |shard, view, fx| shard.drop_slot(view, 0, fx));
    assert_eq!(leftovers(&w.shards[0]), []);
    w.restore(0);
    w.settle();
    w.connect(a, &Opts::durable()).unwrap();
    w.settle();
    let mut stored = w.log.payloads("orderMsg2mq-o");
    stored.sort_unstable();
    assert_eq!(stored, ["1", "2", "3", "gone"]);
}

/// Others write to its inbox all the while.
#[test]
fn a_slot_under_load_closes_and_leaves_what_comes_to_the_next_owner() {
    let mut w = World::with(1, 1, |_, _| {});
    let a = w.client("a", V5);
    w.connect(a, &Opts::durable()).unwrap();
    w.subscribe(a, "t", 1);
    with_shard!(&mut w, 0, |shard, view, fx| shard.close_slot(view, 0, fx));
    let mut closed = false;
    for n in 0..20 {
        w.downlink("t", 1, false, &n.to_string());
        w.settle();
        let done = with_shard!(&mut w, 0, |shard, view, fx| shard.closed(view, fx));
        closed |= done == [0];
    }
    assert!(closed, "closes however much comes");
    w.restore(0);
    w.settle();
    w.got(a);
    assert_eq!(w.connect(a, &Opts::durable()), Ok(true));
    let all: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(w.payloads(a), all);
}

#[test]
fn a_slot_that_is_not_open_closes_at_once() {
    let mut w = World::with(1, 1, |_, _| {});
    w.holds.reads = true;
    w.crash(|_| false);
    with_shard!(&mut w, 0, |shard, view, fx| shard.close_slot(view, 0, fx));
    let done = with_shard!(&mut w, 0, |shard, view, fx| shard.closed(view, fx));
    assert_eq!(done, [0]);
}

/// What a client of a dropped slot was waiting for is told to nobody, whenever it comes.
#[test]
fn nothing_of_a_dropped_slot_is_left_waiting() {
    let mut w = World::with(1, 2, |_, _| {});
    let a = w.client("a", V5);
    w.connect(a, &Opts::durable()).unwrap();
    w.holds.parents = true;
    w.holds.exact = true;
    w.start_publish(a, "p/x", 1, "one", false);
    w.start_publish(a, "p/x", 2, "two", false);
    w.start_publish(a, "p/x", 1, "three", false);
    w.settle();
    let slot = isthmus_core::hash::slot("a", 2);
    with_shard!(&mut w, 0, |shard, view, fx| shard.drop_slot(view, slot, fx));
    assert_eq!(leftovers(&w.shards[0]), []);
    w.holds.parents = false;
    w.holds.exact = false;
    w.settle();
    // Those that waited behind another producer were never given out; the client sends them again.
    assert_eq!(w.log.payloads("p"), ["one"]);
    w.pass(2);
    w.restore(slot);
    w.settle();
    assert_eq!(w.connect(a, &Opts::durable()), Ok(true));
}

/// A commit that was refused goes with the next, except for what is of an earlier life of a slot.
#[test]
fn a_refused_commit_of_a_dropped_slot_does_not_come_back_in_its_next_life() {
    let mut w = World::with(1, 1, |_, _| {});
    let a = w.client("a", V5);
    w.connect(a, &Opts::durable()).unwrap();
    w.pass(2);
    w.holds.commits = true;
    w.start_subscribe(a, &[Filter::new("stale", 1)], None);
    w.settle();
    // Refused only when the slot is here again.
    with_shard!(&mut w, 0, |shard, view, fx| shard.drop_slot(view, 0, fx));
    w.holds.reads = true;
    w.restore(0);
    w.fence_commits();
    w.holds.commits = false;
    w.holds.reads = false;
    w.settle();
    w.pass(2);
    assert!(
        !w.log.routed().contains(&"stale".to_owned()),
        "{:?}",
        w.log.routed()
    );
}

#[test]
fn who_comes_while_a_slot_is_given_away_is_turned_away() {
    let mut w = World::with(1, 1, |_, _| {});
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::durable()).unwrap();
    w.holds.commits = true;
    with_shard!(&mut w, 0, |shard, view, fx| shard.close_slot(view, 0, fx));
    w.start_connect(b, &Opts::durable());
    w.settle();
    assert_eq!(w.got(b), []);
    with_shard!(&mut w, 0, |shard, view, fx| shard.drop_slot(view, 0, fx));
    with_shard!(&mut w, 0, |shard, view, fx| shard.turn_away(view, 0, fx));
    w.settle();
    let refused = Got::ConnAck {
        present: false,
        reason: 0x88,
    };
    assert_eq!(w.got(b), [refused, Got::Closed]);
}

/// A slot's route is not narrowed to what its session records say while markers are still unread:
/// what is published meanwhile is due to their subscriptions.
#[test]
fn a_route_stays_as_the_log_has_it_until_the_inbox_is_read() {
    let mut w = World::with(2, 1, |_, _| {});
    let clients = ["a", "b"].map(|name| w.client(name, V5));
    for (client, qos) in clients.into_iter().zip([0, 1]) {
        w.connect(client, &Opts::durable()).unwrap();
        w.subscribe(client, "t", qos);
        w.pass(2);
        w.holds.reads = true;
    }
    let both = Kinds::LIVE | Kinds::DURABLE;
    assert_eq!(w.routes.kinds_of(0, "t"), both);
    w.crash_now();
    assert_eq!(w.routes.kinds_of(0, "t"), both);
    w.holds.reads = false;
    w.settle();
    assert_eq!(w.routes.kinds_of(0, "t"), both);
}
