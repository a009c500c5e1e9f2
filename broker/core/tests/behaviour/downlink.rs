//! Records of `mq2mqtt` (contract section 3, rulings 11 and 12, invariant 7).

use crate::world::{Filter, Opts, World};
use isthmus_mqtt::AckType;
use isthmus_mqtt::Version::{V5, V311};

#[test]
fn a_record_is_an_ordinary_publish_and_never_stored_in_a_parent() {
    let mut w = World::new();
    let (a, b, c) = (w.client("a", V5), w.client("b", V311), w.client("c", V5));
    w.connect(a, &Opts::clean()).unwrap();
    w.connect(b, &Opts::durable()).unwrap();
    w.connect(c, &Opts::durable()).unwrap();
    w.subscribe(a, "p/#", 2);
    w.subscribe(b, "p/x", 1);
    w.subscribe(c, "p/x", 1);
    w.disconnect(c);
    for qos in [0, 1, 2] {
        let offset = w.downlink("p/x", qos, false, &qos.to_string());
        assert_eq!(w.done.last(), Some(&(0, offset, true)));
    }
    assert_eq!(w.payloads(a), ["0", "1", "2"]);
    assert_eq!(w.payloads(b), ["0", "1", "2"]);
    w.connect(c, &Opts::durable()).unwrap();
    assert_eq!(w.payloads(c), ["1", "2"]);
    assert!(w.log.payloads("p").is_empty());
}

#[test]
fn it_is_done_once_every_inbox_record_is_confirmed_and_live_ones_are_handed_over() {
    let mut w = World::new();
    let clients: Vec<usize> = (0..6).map(|n| w.client(&format!("c{n}"), V5)).collect();
    for (n, client) in clients.iter().enumerate() {
        let opts = if n < 3 {
            Opts::clean()
        } else {
            Opts::durable()
        };
        w.connect(*client, &opts).unwrap();
        w.subscribe(*client, "t", 1);
    }
    (w.holds.inboxes, w.holds.lives) = (true, true);
    w.downlink("t", 1, false, "x");
    assert!(w.done.is_empty());
    w.holds.inboxes = false;
    w.settle();
    w.holds.lives = false;
    w.settle();
    assert_eq!(w.done, [(0, 1, true)]);
    w.downlink("nobody", 1, false, "x");
    assert_eq!(w.done[1], (0, 2, false));
}

#[test]
fn for_devices_online_now_it_is_never_queued() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    for client in [a, b] {
        w.connect(client, &Opts::durable()).unwrap();
        w.subscribe(client, "t", 1);
    }
    w.disconnect(b);
    w.downlink("t", 1, true, "now");
    assert_eq!(w.payloads(a), ["now"]);
    w.disconnect(a);
    w.downlink("t", 1, true, "nobody");
    assert!(!w.done[1].2);
    for client in [a, b] {
        w.connect(client, &Opts::durable()).unwrap();
        assert!(w.payloads(client).is_empty());
    }
}

/// Ruling 12
#[test]
fn for_devices_online_now_unsent_ones_go_with_the_connection_and_sent_ones_are_resent() {
    let mut w = World::with(2, 4, |_, limits| limits.max_inflight = 2);
    let a = w.client("a", V5);
    w.connect(a, &Opts::durable()).unwrap();
    w.subscribe(a, "t", 2);
    w.clients[a].answers = false;
    for n in 0..4 {
        w.downlink("t", 1 + n % 2, true, &n.to_string());
    }
    let first = w.published(a);
    assert_eq!(first.len(), 2);
    w.connect(a, &Opts::durable()).unwrap();
    let again = w.published(a);
    let ids = |got: &[crate::world::Pub]| {
        got.iter()
            .map(|p| (p.id, p.payload.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&first), ids(&again));
    assert!(again.iter().all(|p| p.dup));
    w.ack(a, AckType::PubAck, again[0].id);
    w.ack(a, AckType::PubRec, again[1].id);
    w.ack(a, AckType::PubComp, again[1].id);
    w.clients[a].answers = true;
    w.downlink("t", 1, true, "next");
    assert_eq!(w.payloads(a), ["next"]);
}

/// Ruling 12 with another Maximum Packet Size: what no longer fits does not block the window.
#[test]
fn a_resend_that_no_longer_fits_is_dropped() {
    let mut w = World::with(1, 1, |_, limits| limits.max_inflight = 1);
    let a = w.client("a", V5);
    w.connect(a, &Opts::durable()).unwrap();
    w.subscribe(a, "t", 1);
    w.clients[a].answers = false;
    w.downlink("t", 1, true, &"x".repeat(100));
    w.clients[a].answers = true;
    w.connect(
        a,
        &Opts {
            maximum_packet: Some(60),
            ..Opts::durable()
        },
    )
    .unwrap();
    w.got(a);
    w.downlink("t", 1, true, "small");
    assert_eq!(w.payloads(a), ["small"]);
}

/// Ruling 11
#[test]
fn a_filter_goes_once_to_each_session_under_the_name_where_the_filters_meet() {
    for opts in [Opts::clean(), Opts::durable()] {
        for (subscribed, sent, name) in [
            ("a/b", "a/+", Some("a/b")),
            ("a/+", "a/+", None),
            ("a/#", "a/b/#", Some("a/b")),
            ("a/#", "a/#", Some("a")),
            ("+/b", "a/+", Some("a/b")),
            ("#", "#", None),
            ("a/b", "c/+", None),
            ("$share/g/a/b", "a/+", Some("a/b")),
        ] {
            for qos in [0, 1] {
                let mut w = World::new();
                let a = w.client("a", V5);
                w.connect(a, &opts).unwrap();
                w.subscribe(a, subscribed, 1);
                w.downlink(sent, qos, false, "x");
                let topics: Vec<_> = w.published(a).into_iter().map(|p| p.topic).collect();
                let want: Vec<String> = name.into_iter().map(str::to_owned).collect();
                assert_eq!(topics, want, "{subscribed} {sent} {qos}");
                assert_eq!(w.done.len(), 1);
            }
        }
    }
}

/// Ruling 11: the highest QoS, then the bytewise least filter with its identifier.
#[test]
fn of_several_overlapping_subscriptions_one_decides() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = World::new();
        let a = w.client("a", V5);
        w.connect(a, &opts).unwrap();
        w.subscribe_to(a, &[Filter::new("a/0", 0)], Some(1));
        w.subscribe_to(a, &[Filter::new("a/2", 1)], Some(2));
        w.subscribe_to(a, &[Filter::new("a/1", 1)], Some(3));
        w.downlink("a/+", 1, false, "x");
        let got = w.published(a);
        let got: Vec<_> = got
            .iter()
            .map(|p| (&*p.topic, p.qos, p.subscription_ids.clone()))
            .collect();
        assert_eq!(got, [("a/1", 1, vec![3])]);
    }
}

#[test]
fn a_filter_for_a_group_keeps_its_meeting_when_it_moves_on() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = World::with(2, 4, |_, limits| limits.max_inflight = 1);
        let (a, b) = (w.client("a", V5), w.client("b", V5));
        w.connect(a, &opts).unwrap();
        w.subscribe(a, "$share/g/t/x", 1);
        w.clients[a].answers = false;
        w.downlink("t/+", 1, false, "1");
        w.downlink("t/+", 1, false, "2");
        w.connect(b, &opts).unwrap();
        w.subscribe(b, "$share/g/t/x", 1);
        w.connect(a, &Opts::clean()).unwrap();
        w.pass(2);
        let got: Vec<_> = w
            .published(b)
            .into_iter()
            .map(|p| (p.topic, p.payload))
            .collect();
        assert_eq!(
            got,
            [("t/x".into(), "1".into()), ("t/x".into(), "2".into())],
            "{opts:?}"
        );
    }
}
