//! What waits for an offline or slow client.

use crate::world::{Opts, Step, World};
use isthmus_mqtt::Version::{V5, V311};
use isthmus_mqtt::{AckType, MessageProperties, Publish, QoS};

#[test]
fn an_offline_session_gets_what_it_missed_in_order_and_no_qos0() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V311), w.client("b", V311));
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(a, "t", 2);
    w.disconnect(a);
    for n in 0..300_u32 {
        w.publish(b, "t", (n % 3) as u8, &n.to_string());
    }
    w.connect(a, &Opts::durable()).unwrap();
    let want: Vec<_> = (0..300)
        .filter(|n| n % 3 > 0)
        .map(|n| n.to_string())
        .collect();
    assert_eq!(w.payloads(a), want);
}

#[test]
fn past_the_limit_the_oldest_goes_and_is_counted() {
    let mut w = World::with(1, 1, |session, _| session.max_queued_messages = 3);
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(a, "t", 1);
    w.disconnect(a);
    for n in 0..5 {
        w.publish(b, "t", 1, &n.to_string());
    }
    w.connect(a, &Opts::durable()).unwrap();
    assert_eq!(w.payloads(a), ["2", "3", "4"]);
    assert_eq!(w.shards[0].counters().dropped_queue_full, 2);
}

#[test]
fn past_the_byte_limit_the_oldest_goes_for_clean_sessions_too() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = World::with(1, 1, |session, limits| {
            session.max_queued_bytes = 250;
            limits.max_inflight = 1;
        });
        let (a, b) = (w.client("a", V5), w.client("b", V5));
        w.connect(a, &opts).unwrap();
        w.connect(b, &Opts::clean()).unwrap();
        w.subscribe(a, "t", 1);
        w.clients[a].answers = false;
        for n in 0..6 {
            w.publish(b, "t", 1, &n.to_string().repeat(100));
        }
        assert!(w.shards[0].gauges().queued_bytes <= 250);
        let first = w.published(a)[0].id;
        w.clients[a].answers = true;
        w.ack(a, AckType::PubAck, first);
        let got: Vec<_> = w
            .payloads(a)
            .iter()
            .map(|p| p.chars().next().unwrap())
            .collect();
        assert!(got.ends_with(&['5']) && got.len() < 5, "{got:?}");
        assert!(w.shards[0].counters().dropped_queue_full > 0);
    }
}

#[test]
fn a_message_that_expired_while_it_waited_is_not_delivered() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(a, "t", 1);
    w.disconnect(a);
    for (id, expiry) in [(1, Some(10)), (2, Some(100)), (3, None)] {
        let properties = MessageProperties {
            expiry,
            ..MessageProperties::default()
        };
        w.publish_packet(
            b,
            Publish {
                dup: false,
                qos: QoS::AtLeastOnce,
                retain: false,
                topic: "t",
                packet_id: id,
                topic_alias: None,
                subscription_ids: Vec::new(),
                properties,
                payload: id.to_string().as_bytes(),
            },
        );
    }
    w.pass(30);
    w.connect(a, &Opts::durable()).unwrap();
    let got = w.published(a);
    let got: Vec<_> = got.iter().map(|p| (&*p.payload, p.expiry)).collect();
    assert_eq!(got, [("2", Some(70)), ("3", None)]);
}

/// The queue counts in seconds, rounded up; the message itself knows better.
#[test]
fn a_message_that_expired_within_the_second_is_not_delivered() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(a, "t", 1);
    w.disconnect(a);
    w.now += 300 - w.now % 1000;
    let publish = Publish {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: "t",
        packet_id: 1,
        topic_alias: None,
        subscription_ids: Vec::new(),
        properties: MessageProperties {
            expiry: Some(10),
            ..MessageProperties::default()
        },
        payload: b"late",
    };
    w.publish_packet(b, publish);
    w.now += 10_200;
    w.connect(a, &Opts::durable()).unwrap();
    assert_eq!(w.payloads(a), [""; 0]);
}

#[test]
fn the_clients_receive_maximum_is_respected_over_reconnects() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = World::new();
        let (a, b) = (w.client("a", V5), w.client("b", V5));
        let narrow = Opts {
            receive_maximum: Some(2),
            ..opts.clone()
        };
        w.connect(a, &narrow).unwrap();
        w.connect(b, &Opts::clean()).unwrap();
        w.subscribe(a, "t", 2);
        w.clients[a].answers = false;
        for n in 0..6 {
            w.publish(b, "t", 1 + n % 2, &n.to_string());
        }
        let got = w.published(a);
        assert_eq!(got.len(), 2);
        w.ack(a, AckType::PubAck, got[0].id);
        w.ack(a, AckType::PubRec, got[1].id);
        assert_eq!(w.payloads(a), ["2"], "PUBREC alone makes no room");
        if !opts.clean {
            w.clients[a].answers = true;
            w.connect(
                a,
                &Opts {
                    receive_maximum: Some(1),
                    ..opts
                },
            )
            .unwrap();
            assert_eq!(w.payloads(a), ["2", "3", "4", "5"]);
        }
    }
}

#[test]
fn a_packet_larger_than_the_client_takes_is_skipped_and_counted() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = World::with(1, 1, |_, _| {});
        let (a, b) = (w.client("a", V5), w.client("b", V5));
        w.connect(
            a,
            &Opts {
                maximum_packet: Some(100),
                ..opts
            },
        )
        .unwrap();
        w.connect(b, &Opts::clean()).unwrap();
        w.subscribe(a, "t", 2);
        for qos in [0, 1, 2] {
            w.publish(b, "t", qos, &"x".repeat(100));
            w.publish(b, "t", qos, "small");
        }
        assert_eq!(w.payloads(a), ["small"; 3]);
        assert_eq!(w.shards[0].counters().dropped_too_large, 3);
        assert_eq!(w.shards[0].gauges().queued_messages, 0);
    }
}

#[test]
fn bodies_of_a_long_queue_are_read_again() {
    let mut w = World::with(1, 2, |session, _| {
        session.max_queued_messages = 3000;
        session.max_queued_bytes = 100 << 20;
    });
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(a, "t", 2);
    w.disconnect(a);
    let body = "x".repeat(4000);
    for n in 0..2500_u32 {
        w.publish(b, "t", 1 + (n % 2) as u8, &format!("{n}:{body}"));
    }
    w.connect(a, &Opts::durable()).unwrap();
    let got: Vec<usize> = w
        .payloads(a)
        .iter()
        .map(|p| p.split(':').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(got, (0..2500).collect::<Vec<_>>());
}

#[test]
fn a_body_that_is_no_longer_in_kafka_is_skipped_and_counted() {
    let mut w = World::with(1, 1, |_, _| {});
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(a, "t", 1);
    w.disconnect(a);
    w.publish(b, "t", 1, "gone");
    w.publish(b, "t", 1, "there");
    w.pass(2);
    w.crash_now();
    let offset = *w.log.inbox[0]
        .iter()
        .find(|(_, v)| v.windows(4).any(|b| b == b"gone"))
        .unwrap()
        .0;
    w.log.inbox[0].remove(&offset);
    w.connect(a, &Opts::durable()).unwrap();
    assert_eq!(w.payloads(a), ["there"]);
    assert_eq!(w.shards[0].counters().dropped_gone, 1);
}

/// Invariant 5: an id is free again only when its message is done.
#[test]
fn a_message_that_is_never_acknowledged_keeps_its_id_to_itself() {
    let mut w = World::with(1, 1, |_, _| {});
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(a, "t", 1);
    w.clients[a].answers = false;
    w.publish(b, "t", 1, "stuck");
    let stuck = w.published(a)[0].id;
    w.clients[a].answers = true;
    // The ids come round: the next message but nine has the id of the first.
    w.log.skip(0, 32_767 - 10);
    for n in 0..20 {
        w.publish(b, "t", 1, &n.to_string());
    }
    assert_eq!(w.published(a).len(), 9);
    w.ack(a, AckType::PubAck, stuck);
    let rest = w.published(a);
    assert_eq!(rest.len(), 11);
    assert_eq!((rest[0].id, &*rest[0].payload), (stuck, "9"));
}

/// Bodies that are no longer at hand are read once for all who come back, not once for each.
#[test]
fn sessions_that_come_back_share_the_bodies_that_are_fetched() {
    const SESSIONS: usize = 40;
    const BACKLOG: usize = 6000;
    let mut w = World::with(1, 1, |session, _| {
        session.max_queued_messages = 10_000;
        session.max_queued_bytes = 1 << 30;
    });
    let sleepers: Vec<usize> = (0..SESSIONS)
        .map(|n| w.client(&format!("s{n}"), V5))
        .collect();
    for sleeper in &sleepers {
        w.connect(*sleeper, &Opts::durable()).unwrap();
        w.subscribe(*sleeper, "t", 1);
        w.disconnect(*sleeper);
    }
    let a = w.client("a", V5);
    w.connect(a, &Opts::clean()).unwrap();
    for n in 0..BACKLOG {
        w.publish(a, "t", 1, &n.to_string());
    }
    w.pass(2);
    w.crash_now();
    for sleeper in &sleepers {
        w.start_connect(*sleeper, &Opts::durable());
    }
    // Half of them are half as fast.
    let mut random = 1u64;
    loop {
        let steps = w.steps();
        if steps.is_empty() {
            break;
        }
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let step = &steps[(random >> 33) as usize % steps.len()];
        let slow = matches!(step, Step::Receive(conn) if conn.0 % 2 == 0);
        if !slow || steps.len() == 1 || random >> 32 & 1 == 0 {
            w.take(step);
        }
    }
    for sleeper in &sleepers {
        let got = w.payloads(*sleeper);
        assert_eq!(got.len(), BACKLOG);
        assert!(got.iter().zip(0..).all(|(got, n)| *got == n.to_string()));
    }
    println!("{} bodies fetched for {SESSIONS} sessions", w.fetched);
    assert!(w.fetched <= BACKLOG * 3 / 2, "{} bodies", w.fetched);
}
