//! Wills (ruling 16).

use crate::world::{Opts, World, with_shard};
use isthmus_core::acl::Action;
use isthmus_mqtt::ReasonCode;
use isthmus_mqtt::Version::{V5, V311};

fn world() -> (World, usize, usize) {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(b, &Opts::durable()).unwrap();
    w.subscribe(b, "#", 1);
    w.got(b);
    (w, a, b)
}

#[test]
fn a_lost_connection_publishes_the_will_and_a_normal_disconnect_does_not() {
    let (mut w, a, b) = world();
    w.connect(a, &Opts::clean().will("p/w", "gone", 1, 0))
        .unwrap();
    w.disconnect(a);
    w.pass(2);
    assert!(w.payloads(b).is_empty());
    w.connect(a, &Opts::clean().will("p/w", "gone", 1, 0))
        .unwrap();
    w.drop_connection(a);
    w.pass(2);
    assert_eq!(w.payloads(b), ["gone"]);
    assert_eq!(w.log.payloads("p"), ["gone"]);
    w.connect(a, &Opts::clean().will("p/w", "said", 1, 0))
        .unwrap();
    w.disconnect_with(a, ReasonCode::DISCONNECT_WITH_WILL_MESSAGE, None);
    w.pass(2);
    assert_eq!(w.payloads(b), ["said"]);
    assert!(!w.log.state_keys().iter().any(|k| k.starts_with("w/")));
}

#[test]
fn the_will_delay_counts_and_a_resumed_session_cancels_it() {
    let (mut w, a, b) = world();
    let opts = Opts::durable().will("w", "gone", 1, 10);
    w.connect(a, &opts).unwrap();
    w.drop_connection(a);
    w.pass(8);
    assert!(w.payloads(b).is_empty());
    w.connect(a, &opts).unwrap();
    w.pass(20);
    assert!(w.payloads(b).is_empty());
    w.drop_connection(a);
    w.pass(12);
    assert_eq!(w.payloads(b), ["gone"]);
    assert!(!w.log.state_keys().iter().any(|k| k.starts_with("w/")));
}

#[test]
fn the_end_of_the_session_ends_the_delay() {
    let (mut w, a, b) = world();
    w.connect(
        a,
        &Opts {
            expiry: Some(5),
            ..Opts::durable()
        }
        .will("w", "gone", 1, 100),
    )
    .unwrap();
    w.drop_connection(a);
    w.pass(8);
    assert_eq!(w.payloads(b), ["gone"]);
    w.connect(a, &Opts::durable().will("w", "again", 1, 100))
        .unwrap();
    w.drop_connection(a);
    w.connect(a, &Opts::clean()).unwrap();
    w.pass(1);
    assert_eq!(w.payloads(b), ["again"]);
}

#[test]
fn the_wills_of_all_clients_survive_a_crash() {
    let (mut w, a, b) = world();
    let c = w.client("c", V311);
    w.connect(a, &Opts::durable().will("w", "durable", 1, 0))
        .unwrap();
    w.connect(c, &Opts::clean().will("w", "clean", 2, 0))
        .unwrap();
    w.crash_now();
    w.connect(b, &Opts::durable()).unwrap();
    w.pass(2);
    let mut got = w.payloads(b);
    got.sort();
    assert_eq!(got, ["clean", "durable"]);
    assert!(
        !w.log
            .state_keys()
            .iter()
            .any(|k| k.starts_with("w/") || k == "c/a"),
        "{:?}",
        w.log.state_keys()
    );
}

#[test]
fn a_delayed_will_survives_a_crash_and_is_cancelled_by_the_client_that_comes_back() {
    let (mut w, a, b) = world();
    let opts = Opts::durable().will("w", "gone", 1, 60);
    w.connect(a, &opts).unwrap();
    w.crash_now();
    w.connect(b, &Opts::durable()).unwrap();
    w.pass(30);
    assert_eq!(w.connect(a, &opts), Ok(true));
    w.pass(60);
    assert!(w.payloads(b).is_empty());
    w.drop_connection(a);
    w.pass(2);
    w.crash_now();
    w.connect(b, &Opts::durable()).unwrap();
    w.pass(70);
    assert_eq!(w.payloads(b), ["gone"]);
}

#[test]
fn a_will_obeys_the_rights_at_its_publication() {
    let (mut w, a, b) = world();
    w.connect(a, &Opts::clean().will("w", "gone", 1, 0))
        .unwrap();
    w.rights.allow("a", &[("other", Action::Pub)]);
    w.directory_changed();
    w.drop_connection(a);
    w.pass(2);
    assert!(w.payloads(b).is_empty());
    assert!(!w.log.state_keys().iter().any(|k| k.starts_with("w/")));
}

#[test]
fn a_retained_will_is_retained() {
    let (mut w, a, b) = world();
    let mut opts = Opts::clean().will("w", "gone", 1, 0);
    opts.will.as_mut().unwrap().retain = true;
    w.connect(a, &opts).unwrap();
    w.drop_connection(a);
    w.pass(1);
    w.got(b);
    w.subscribe(b, "w", 1);
    assert_eq!(w.payloads(b), ["gone"]);
}

#[test]
fn a_kick_publishes_the_will() {
    let (mut w, a, b) = world();
    w.connect(
        a,
        &Opts {
            user: Some("u"),
            ..Opts::clean()
        }
        .will("w", "gone", 0, 0),
    )
    .unwrap();
    w.rights.deleted_users.insert("u".to_owned());
    w.directory_changed();
    assert_eq!(w.payloads(b), ["gone"]);
}

/// Kafka was away: the will could not go out when its connection ended, and its client came back
/// before the slot was open again. There was no delay for it to come back in.
#[test]
fn a_will_that_waits_for_its_slot_is_not_cancelled_by_the_client_that_comes_back() {
    let mut w = World::with(1, 1, |_, _| {});
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(b, &Opts::durable()).unwrap();
    w.subscribe(b, "#", 1);
    w.connect(a, &Opts::durable().will("p/w", "gone", 1, 0))
        .unwrap();
    w.got(b);
    w.shards[0].suspend_slot(0);
    w.drop_connection(a);
    w.start_connect(a, &Opts::durable());
    w.pass(1);
    with_shard!(&mut w, 0, |shard, view, fx| shard.resume_slot(view, 0, fx)).unwrap();
    w.pass(2);
    assert_eq!(w.payloads(b), ["gone"]);
    assert_eq!(w.log.payloads("p"), ["gone"]);
}

/// Ruling 6: a QoS 2 message is stored once, over any crash; a will is one.
#[test]
fn a_will_of_qos_2_is_published_once_over_a_crash_between_its_publication_and_the_word_of_it() {
    let mut w = World::with(1, 1, |_, _| {});
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(b, &Opts::durable()).unwrap();
    w.subscribe(b, "#", 2);
    w.connect(a, &Opts::clean().will("p/w", "gone", 2, 0))
        .unwrap();
    w.got(b);
    w.holds.confirms = true;
    w.drop_connection(a);
    w.settle();
    w.holds.confirms = false;
    w.crash_now();
    w.connect(b, &Opts::durable()).unwrap();
    w.pass(2);
    assert_eq!(w.log.payloads("p"), ["gone"]);
    assert_eq!(w.payloads(b), ["gone"]);
    assert!(!w.log.state_keys().iter().any(|k| k.starts_with("w/")));
}
