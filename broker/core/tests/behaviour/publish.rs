//! Publishing and delivery, QoS by QoS; acknowledged means stored (invariant 1).

use crate::world::{Filter, Got, Opts, World};
use isthmus_mqtt::Version::{V5, V31, V311};
use isthmus_mqtt::{AckType, MessageProperties, Publish, QoS, UserPropertiesBuf};

#[test]
fn every_qos_reaches_clean_and_durable_subscribers_once_and_in_order() {
    for version in [V31, V311, V5] {
        for opts in [Opts::clean(), Opts::durable()] {
            let mut w = World::new();
            let (a, b) = (w.client("a", version), w.client("b", version));
            assert_eq!(w.connect(a, &Opts::clean()), Ok(false));
            assert_eq!(w.connect(b, &opts), Ok(false));
            w.subscribe(b, "t/#", 2);
            for (n, qos) in [0, 1, 2, 2, 1, 0].into_iter().enumerate() {
                w.publish(a, "t/x", qos, &format!("m{n}"));
            }
            let got = w.published(b);
            let got: Vec<_> = got.iter().map(|p| (&*p.payload, p.qos, p.dup)).collect();
            assert_eq!(got.len(), 6, "{got:?}");
            for (n, qos) in [0, 1, 2, 2, 1, 0].into_iter().enumerate() {
                assert!(got.contains(&(&format!("m{n}"), qos, false)), "{got:?}");
            }
            assert_eq!(w.clients[a].acked, ["m1", "m2", "m3", "m4"]);
            assert!(w.clients[a].unacked.is_empty());
        }
    }
}

#[test]
fn the_subscription_lowers_the_qos() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::clean()).unwrap();
    w.connect(b, &Opts::durable()).unwrap();
    w.subscribe(b, "t0", 0);
    w.subscribe(b, "t1", 1);
    w.publish(a, "t0", 2, "x");
    w.publish(a, "t1", 2, "y");
    w.publish(a, "t1", 0, "z");
    let got: Vec<_> = w
        .published(b)
        .iter()
        .map(|p| (p.payload.clone(), p.qos))
        .collect();
    assert_eq!(got, [("x".into(), 0), ("y".into(), 1), ("z".into(), 0)]);
}

/// Invariant 1
#[test]
fn puback_waits_for_the_parent_topic_and_comes_in_order() {
    let mut w = World::new();
    let a = w.client("a", V311);
    w.connect(a, &Opts::clean()).unwrap();
    w.holds.parents = true;
    w.got(a);
    let ids: Vec<u16> = ["p/1", "t/2", "q/3"]
        .iter()
        .map(|topic| w.publish(a, topic, 1, topic))
        .collect();
    assert_eq!(w.got(a), []);
    w.holds.parents = false;
    w.settle();
    let want: Vec<_> = ids.iter().map(|id| Got::Ack("PUBACK", *id, 0)).collect();
    assert_eq!(w.got(a), want);
    assert_eq!(w.log.payloads("p"), ["p/1"]);
}

/// Invariant 1
#[test]
fn puback_waits_for_the_inbox_of_every_durable_subscriber() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::clean()).unwrap();
    w.connect(b, &Opts::durable()).unwrap();
    w.subscribe(b, "t", 1);
    w.drop_connection(b);
    w.got(a);
    w.holds.inboxes = true;
    w.publish(a, "t", 1, "x");
    assert_eq!(w.got(a), []);
    w.holds.inboxes = false;
    w.settle();
    assert_eq!(w.got(a), [Got::Ack("PUBACK", 1, 0)]);
}

/// Invariant 1
#[test]
fn pubrec_follows_the_transaction_and_pubcomp_the_release() {
    let mut w = World::new();
    let a = w.client("a", V311);
    w.connect(a, &Opts::durable()).unwrap();
    w.got(a);
    w.holds.exact = true;
    let id = w.publish(a, "p/x", 2, "x");
    assert_eq!(w.got(a), []);
    w.holds.exact = false;
    w.holds.confirms = true;
    w.settle();
    assert_eq!(w.got(a), []);
    assert_eq!(w.log.payloads("p"), ["x"]);
    assert!(w.log.state_keys().contains(&format!("2/{id}/a")));
    w.holds.confirms = false;
    w.settle();
    assert_eq!(
        w.got(a),
        [Got::Ack("PUBREC", id, 0), Got::Ack("PUBCOMP", id, 0)]
    );
    assert!(!w.log.state_keys().contains(&format!("2/{id}/a")));
}

#[test]
fn without_anyone_to_store_for_an_acknowledgement_does_not_wait() {
    let mut w = World::new();
    let a = w.client("a", V311);
    w.connect(a, &Opts::clean()).unwrap();
    w.got(a);
    (w.holds.parents, w.holds.inboxes, w.holds.exact) = (true, true, true);
    w.publish(a, "t", 1, "x");
    w.publish(a, "t", 2, "y");
    let want = [
        Got::Ack("PUBACK", 1, 0),
        Got::Ack("PUBREC", 2, 0),
        Got::Ack("PUBCOMP", 2, 0),
    ];
    assert_eq!(w.got(a), want);
}

#[test]
fn a_repeated_qos2_publish_is_stored_and_delivered_once() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V311), w.client("b", V311));
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::durable()).unwrap();
    w.subscribe(b, "p/#", 2);
    w.holds.exact = true;
    w.publish(a, "p/x", 2, "x");
    // Its connection goes before PUBREC; it repeats the PUBLISH on the next.
    w.drop_connection(a);
    w.connect(a, &Opts::durable()).unwrap();
    w.holds.exact = false;
    w.settle();
    assert_eq!(w.clients[a].acked, ["x"]);
    assert_eq!(w.log.payloads("p"), ["x"]);
    assert_eq!(w.payloads(b), ["x"]);
}

/// [MQTT-4.6.0-3]
#[test]
fn pubrecs_of_repeated_publishes_keep_their_order() {
    let mut w = World::new();
    let a = w.client("a", V311);
    w.connect(a, &Opts::durable()).unwrap();
    w.holds.retained = true;
    let first = w.start_publish(a, "p/x", 2, "x", true);
    let second = w.start_publish(a, "p/y", 2, "y", false);
    w.settle();
    w.drop_connection(a);
    w.connect(a, &Opts::durable()).unwrap();
    w.got(a);
    w.holds.retained = false;
    w.settle();
    let recs: Vec<_> = w
        .got(a)
        .into_iter()
        .filter(|g| matches!(g, Got::Ack("PUBREC", ..)))
        .collect();
    assert_eq!(
        recs,
        [Got::Ack("PUBREC", first, 0), Got::Ack("PUBREC", second, 0)]
    );
}

/// A PUBREL repeated on a new connection is not answered before its own write is safe: the id
/// would be used for another message, and a crash would take that for the old one.
#[test]
fn pubcomp_of_a_repeated_pubrel_waits_as_well() {
    let mut w = World::new();
    let a = w.client("a", V311);
    w.connect(a, &Opts::durable()).unwrap();
    let id = w.start_publish(a, "p/x", 2, "x", false);
    while !w.got(a).contains(&Got::Ack("PUBREC", id, 0)) {
        let step = w.steps()[0].clone();
        w.take(&step);
    }
    w.holds.exact = true;
    w.settle();
    w.drop_connection(a);
    w.connect(a, &Opts::durable()).unwrap();
    assert!(
        !w.got(a)
            .iter()
            .any(|g| matches!(g, Got::Ack("PUBCOMP", ..)))
    );
    w.holds.exact = false;
    w.settle();
    assert_eq!(w.got(a), [Got::Ack("PUBCOMP", id, 0)]);
    assert!(w.clients[a].unacked.is_empty());
}

#[test]
fn a_record_that_kafka_refuses_is_said_in_v5_and_closes_3x() {
    for qos in [1, 2] {
        let mut w = World::new();
        let (a, b) = (w.client("a", V5), w.client("b", V311));
        w.holds.refused.insert("bad".to_owned());
        w.connect(a, &Opts::clean()).unwrap();
        w.connect(b, &Opts::clean()).unwrap();
        w.got(a);
        w.got(b);
        w.publish(a, "p/x", qos, "bad");
        let name = if qos == 1 { "PUBACK" } else { "PUBREC" };
        assert_eq!(w.got(a), [Got::Ack(name, 1, 0x97)]);
        w.publish(b, "p/x", qos, "bad");
        assert_eq!(w.got(b), [Got::Closed]);
        assert!(w.log.payloads("p").is_empty());
    }
}

#[test]
fn an_envelope_above_the_parents_limit_is_refused_before_routing() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::clean()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(b, "#", 1);
    w.got(a);
    w.publish(a, "p/x", 1, &"x".repeat(100_000));
    assert_eq!(w.got(a), [Got::Ack("PUBACK", 1, 0x97)]);
    assert!(w.payloads(b).is_empty());
}

#[test]
fn qos0_past_the_bound_is_dropped_and_counted_and_still_delivered_live() {
    let mut w = World::with(1, 4, |_, _| {});
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::clean()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(b, "#", 0);
    w.backlogged = true;
    w.publish(a, "p/x", 0, "x");
    assert!(w.log.payloads("p").is_empty());
    assert_eq!(w.payloads(b), ["x"]);
    assert_eq!(w.shards[0].counters().dropped_backlog, 1);
}

#[test]
fn v5_properties_reach_v5_and_not_3x() {
    let mut w = World::new();
    let (a, b, c) = (w.client("a", V5), w.client("b", V5), w.client("c", V311));
    for client in [a, b, c] {
        w.connect(client, &Opts::clean()).unwrap();
        w.subscribe(client, "t", 1);
    }
    let user = UserPropertiesBuf::from_pairs([("k", "v"), ("k", "w")]).unwrap();
    let properties = MessageProperties {
        expiry: Some(60),
        user_properties: user.as_user_properties(),
        ..MessageProperties::default()
    };
    w.publish_packet(a, packet("t", 9, None, properties));
    let got = w.published(b);
    assert_eq!(
        got[0].user,
        [
            ("k".to_owned(), "v".to_owned()),
            ("k".to_owned(), "w".to_owned())
        ]
    );
    assert_eq!(got[0].expiry, Some(60));
    assert_eq!(w.published(c)[0].user, []);
}

#[test]
fn a_topic_alias_stands_for_its_topic_on_its_connection_alone() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::clean()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(b, "#", 0);
    w.publish_packet(a, packet("t/1", 1, Some(3), MessageProperties::default()));
    w.publish_packet(a, packet("", 2, Some(3), MessageProperties::default()));
    w.publish_packet(a, packet("t/2", 3, Some(3), MessageProperties::default()));
    w.publish_packet(a, packet("", 4, Some(3), MessageProperties::default()));
    let topics: Vec<_> = w.published(b).into_iter().map(|p| p.topic).collect();
    assert_eq!(topics, ["t/1", "t/1", "t/2", "t/2"]);
    w.connect(a, &Opts::clean()).unwrap();
    w.got(a);
    w.publish_packet(a, packet("", 1, Some(3), MessageProperties::default()));
    assert_eq!(w.got(a), [Got::Disconnect(0x82), Got::Closed]);
    w.connect(a, &Opts::clean()).unwrap();
    w.got(a);
    w.publish_packet(a, packet("t", 1, Some(33), MessageProperties::default()));
    assert_eq!(w.got(a), [Got::Disconnect(0x94), Got::Closed]);
}

fn packet<'a>(
    topic: &'a str,
    id: u16,
    alias: Option<u16>,
    properties: MessageProperties<'a>,
) -> Publish<'a> {
    Publish {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic,
        packet_id: id,
        topic_alias: alias,
        subscription_ids: Vec::new(),
        properties,
        payload: b"x",
    }
}

#[test]
fn pubrel_to_a_durable_subscriber_follows_the_commit_of_its_pubrec() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::clean()).unwrap();
    w.connect(b, &Opts::durable()).unwrap();
    assert_eq!(w.subscribe_to(b, &[Filter::new("t", 2)], None), [2]);
    w.clients[b].answers = false;
    w.publish(a, "t", 2, "x");
    let id = w.published(b)[0].id;
    w.holds.commits = true;
    w.ack(b, AckType::PubRec, id);
    assert_eq!(w.got(b), []);
    w.holds.commits = false;
    w.settle();
    assert_eq!(w.got(b), [Got::Ack("PUBREL", id, 0)]);
    w.ack(b, AckType::PubComp, id);
    w.pass(2);
    assert!(
        !w.log.state_keys().iter().any(|k| k.starts_with("q/")),
        "{:?}",
        w.log.state_keys()
    );
}
