//! What an acknowledgement covered survives a crash, and packet ids with it (invariant 3).

use crate::world::{Got, Opts, World};
use isthmus_mqtt::AckType;
use isthmus_mqtt::Version::{V5, V311};

fn with_unanswered(version: isthmus_mqtt::Version) -> (World, usize, usize) {
    let mut w = World::new();
    let (a, b) = (w.client("a", version), w.client("b", version));
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(a, "t", 2);
    w.clients[a].answers = false;
    for n in 0..6 {
        w.publish(b, "t", 1 + n % 2, &n.to_string());
    }
    (w, a, b)
}

#[test]
fn unacknowledged_messages_come_again_with_dup_in_order_under_their_ids() {
    for version in [V311, V5] {
        for crash in [false, true] {
            let (mut w, a, _) = with_unanswered(version);
            let first = w.published(a);
            assert_eq!(first.len(), 6);
            // One is acknowledged, one is half way.
            w.ack(a, AckType::PubAck, first[0].id);
            w.ack(a, AckType::PubRec, first[1].id);
            w.pass(2);
            w.got(a);
            if crash {
                w.crash_now();
            }
            assert_eq!(w.connect(a, &Opts::durable()), Ok(true));
            let got = w.got(a);
            let got: Vec<_> = got
                .into_iter()
                .filter(|g| !matches!(g, Got::ConnAck { .. } | Got::Closed))
                .collect();
            assert_eq!(got[0], Got::Ack("PUBREL", first[1].id, 0));
            let again: Vec<_> = got[1..]
                .iter()
                .map(|g| match g {
                    Got::Publish(p) => (p.id, p.payload.clone(), p.dup),
                    other => panic!("{other:?}"),
                })
                .collect();
            let want: Vec<_> = first[2..]
                .iter()
                .map(|p| (p.id, p.payload.clone(), true))
                .collect();
            assert_eq!(again, want);
        }
    }
}

/// What was sent in the last second is not in the changelog: the inbox gives it again.
#[test]
fn what_no_commit_covers_comes_again_under_its_id_with_dup() {
    let (mut w, a, _) = with_unanswered(V5);
    let first = w.published(a);
    w.crash_now();
    assert_eq!(w.connect(a, &Opts::durable()), Ok(true));
    let again = w.published(a);
    let ids = |got: &[crate::world::Pub]| {
        got.iter()
            .map(|p| (p.id, p.payload.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&first), ids(&again));
    assert!(again.iter().all(|p| p.dup));
}

#[test]
fn a_qos2_publish_is_stored_once_whichever_way_the_crash_falls() {
    for lands in [false, true] {
        for confirmed in [false, true] {
            let mut w = World::new();
            let a = w.client("a", V311);
            w.connect(a, &Opts::durable()).unwrap();
            w.holds.exact = !confirmed;
            w.holds.confirms = true;
            w.publish(a, "p/x", 2, "x");
            w.crash(|_| lands);
            (w.holds.exact, w.holds.confirms) = (false, false);
            w.settle();
            w.connect(a, &Opts::durable()).unwrap();
            assert_eq!(w.clients[a].acked, ["x"]);
            assert_eq!(w.log.payloads("p"), ["x"]);
            w.pass(2);
            assert!(!w.log.state_keys().iter().any(|k| k.starts_with("2/")));
        }
    }
}

#[test]
fn the_next_owner_says_that_the_clients_of_the_lost_one_are_gone() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.pass(2);
    w.crash_now();
    w.pass(2);
    let lost: Vec<_> = w
        .log
        .presence
        .iter()
        .filter(|p| p.reason.as_deref() == Some("serverLost"))
        .collect();
    assert_eq!(lost.len(), 2);
    assert!(!w.log.state_keys().iter().any(|k| k.starts_with("c/")));
    // What the clean session subscribed to went with it.
    assert_eq!(w.log.routed(), Vec::<String>::new());
}

#[test]
fn routes_of_clean_sessions_go_with_a_crash() {
    let mut w = World::new();
    let a = w.client("a", V5);
    w.connect(a, &Opts::clean()).unwrap();
    w.subscribe(a, "t/#", 1);
    w.pass(2);
    assert_eq!(w.log.routed(), ["t/#"]);
    w.crash_now();
    w.pass(2);
    assert_eq!(w.log.routed(), Vec::<String>::new());
    assert!(w.routes.is_empty());
}

/// Twice in a row, before anything of the first restore was committed.
#[test]
fn a_crash_in_the_middle_of_a_restore_changes_nothing() {
    let (mut w, a, _) = with_unanswered(V5);
    let first = w.published(a);
    w.crash(|_| false);
    w.crash(|_| true);
    w.crash(|_| false);
    w.settle();
    w.clients[a].answers = true;
    assert_eq!(w.connect(a, &Opts::durable()), Ok(true));
    let ids = |got: &[crate::world::Pub]| {
        got.iter()
            .map(|p| (p.id, p.payload.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&first), ids(&w.published(a)));
    w.pass(2);
    let disconnects = w
        .log
        .presence
        .iter()
        .filter(|p| p.client == "a" && !p.connects)
        .count();
    assert_eq!(disconnects, 1, "{:?}", w.log.presence);
}
