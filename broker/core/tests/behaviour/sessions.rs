//! Sessions: how they begin, last and end (contract section 5).

use crate::world::{Filter, Got, Opts, World};
use isthmus_mqtt::Version::{V5, V31, V311};
use isthmus_mqtt::{Packet, ReasonCode};

#[test]
fn connack_of_a_durable_session_follows_its_commit() {
    let mut w = World::new();
    let a = w.client("a", V311);
    w.holds.commits = true;
    w.start_connect(a, &Opts::durable());
    w.settle();
    assert_eq!(w.got(a), []);
    w.holds.commits = false;
    w.settle();
    assert_eq!(
        w.got(a),
        [Got::ConnAck {
            present: false,
            reason: 0
        }]
    );
    assert!(w.log.state_keys().contains(&"s/a".to_owned()));
    assert!(w.log.state_keys().contains(&"c/a".to_owned()));
}

#[test]
fn connack_of_a_will_follows_its_commit_and_a_clean_one_waits_for_nothing() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.holds.commits = true;
    w.start_connect(a, &Opts::clean().will("w", "gone", 1, 0));
    assert_eq!(w.connect(b, &Opts::clean()), Ok(false));
    assert_eq!(w.got(a), []);
    w.holds.commits = false;
    w.settle();
    assert_eq!(
        w.got(a),
        [Got::ConnAck {
            present: false,
            reason: 0
        }]
    );
}

#[test]
fn suback_of_a_durable_session_follows_its_commit_and_a_clean_one_waits_for_nothing() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.got(a);
    w.holds.commits = true;
    w.start_subscribe(a, &[Filter::new("t", 1)], None);
    w.subscribe(b, "t", 1);
    assert_eq!(w.got(a), []);
    w.holds.commits = false;
    w.settle();
    assert_eq!(w.got(a), [Got::SubAck(vec![1])]);
}

#[test]
fn a_durable_session_is_present_again_and_a_clean_one_is_not() {
    for version in [V311, V5] {
        let mut w = World::new();
        let (a, b) = (w.client("a", version), w.client("b", version));
        w.connect(a, &Opts::durable()).unwrap();
        w.subscribe(a, "t", 1);
        w.drop_connection(a);
        assert_eq!(w.connect(a, &Opts::durable()), Ok(true));
        w.connect(b, &Opts::clean()).unwrap();
        w.subscribe(b, "t", 1);
        w.drop_connection(b);
        assert_eq!(
            w.connect(
                b,
                &Opts {
                    clean: false,
                    ..Opts::clean()
                }
            ),
            Ok(false)
        );
        w.publish(b, "t", 1, "x");
        assert_eq!(w.payloads(a), ["x"]);
        assert!(
            w.payloads(b).is_empty(),
            "its subscription went with the session"
        );
    }
}

/// 3.1 has no session present flag; the session is there all the same.
#[test]
fn mqtt_3_1_keeps_sessions_too() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V31), w.client("b", V31));
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(a, "t", 1);
    w.disconnect(a);
    w.publish(b, "t", 1, "x");
    assert_eq!(w.connect(a, &Opts::durable()), Ok(false));
    assert_eq!(w.payloads(a), ["x"]);
}

#[test]
fn clean_start_ends_a_stored_session_for_good_before_connack() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(a, "t", 1);
    w.disconnect(a);
    w.publish(b, "t", 1, "x");
    w.holds.commits = true;
    w.start_connect(a, &Opts::clean());
    w.settle();
    w.got(a);
    w.holds.commits = false;
    w.settle();
    assert_eq!(
        w.got(a),
        [Got::ConnAck {
            present: false,
            reason: 0
        }]
    );
    assert!(
        !w.log
            .state_keys()
            .iter()
            .any(|k| k.starts_with("s/") || k.starts_with("q/"))
    );
    w.publish(b, "t", 1, "y");
    assert!(w.payloads(a).is_empty());
    w.crash_now();
    assert_eq!(w.connect(a, &Opts::durable()), Ok(false));
}

#[test]
fn expiry_zero_on_a_stored_session_ends_it_with_the_connection() {
    let mut w = World::new();
    let a = w.client("a", V5);
    w.connect(a, &Opts::durable()).unwrap();
    w.subscribe(a, "t", 1);
    w.disconnect(a);
    assert_eq!(
        w.connect(
            a,
            &Opts {
                clean: false,
                ..Opts::clean()
            }
        ),
        Ok(true)
    );
    w.disconnect(a);
    w.pass(2);
    assert_eq!(w.log.state_keys(), Vec::<String>::new());
    assert_eq!(w.connect(a, &Opts::durable()), Ok(false));
}

#[test]
fn disconnect_can_change_the_expiry_but_not_from_zero() {
    let mut w = World::new();
    let a = w.client("a", V5);
    w.connect(a, &Opts::durable()).unwrap();
    w.disconnect_with(a, ReasonCode::NORMAL_DISCONNECTION, Some(10));
    w.pass(8);
    assert_eq!(w.connect(a, &Opts::durable()), Ok(true));
    w.disconnect_with(a, ReasonCode::NORMAL_DISCONNECTION, Some(10));
    w.pass(12);
    assert_eq!(w.connect(a, &Opts::durable()), Ok(false));
    w.disconnect_with(a, ReasonCode::NORMAL_DISCONNECTION, Some(0));
    assert_eq!(w.connect(a, &Opts::clean()), Ok(false));
    w.got(a);
    w.disconnect_with(a, ReasonCode::NORMAL_DISCONNECTION, Some(10));
    assert_eq!(w.got(a), [Got::Disconnect(0x82), Got::Closed]);
}

#[test]
fn a_session_expires_counted_from_its_disconnect_over_crashes_too() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V311));
    w.connect(
        a,
        &Opts {
            expiry: Some(100),
            ..Opts::durable()
        },
    )
    .unwrap();
    w.connect(b, &Opts::durable()).unwrap();
    w.pass(200);
    w.disconnect(a);
    w.disconnect(b);
    w.pass(60);
    w.crash_now();
    w.pass(30);
    assert!(w.log.state_keys().contains(&"s/a".to_owned()));
    w.pass(15);
    assert!(!w.log.state_keys().contains(&"s/a".to_owned()));
    assert!(
        w.log.state_keys().contains(&"s/b".to_owned()),
        "two hours by default"
    );
    w.tick(7_200_000);
    w.pass(2);
    assert_eq!(w.log.state_keys(), Vec::<String>::new());
}

#[test]
fn a_session_whose_time_has_passed_is_not_resumed() {
    let mut w = World::new();
    let a = w.client("a", V5);
    w.connect(
        a,
        &Opts {
            expiry: Some(10),
            ..Opts::durable()
        },
    )
    .unwrap();
    w.disconnect(a);
    w.pass(2);
    w.now += 10_000_000;
    assert_eq!(w.connect(a, &Opts::durable()), Ok(false));
}

#[test]
fn the_asked_expiry_is_capped() {
    let mut w = World::with(1, 1, |session, _| session.max_expiry_seconds = 5);
    let a = w.client("a", V5);
    w.connect(
        a,
        &Opts {
            expiry: Some(u32::MAX),
            ..Opts::durable()
        },
    )
    .unwrap();
    w.disconnect(a);
    w.pass(7);
    assert_eq!(w.connect(a, &Opts::durable()), Ok(false));
}

#[test]
fn the_end_of_a_session_leaves_nothing_in_the_state() {
    let mut w = World::with(2, 4, |_, limits| limits.max_inflight = 16);
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::durable().will("w", "gone", 1, 30))
        .unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.subscribe(a, "t/#", 2);
    w.subscribe(a, "$share/g/s", 1);
    w.clients[a].answers = false;
    for n in 0..200 {
        w.publish(b, "t/x", 1 + n % 2, &n.to_string());
    }
    w.pass(2);
    assert!(w.log.state_keys().len() > 4);
    w.drop_connection(a);
    w.pass(2);
    w.connect(a, &Opts::clean()).unwrap();
    w.disconnect(a);
    w.disconnect(b);
    w.pass(2);
    assert_eq!(w.log.state_keys(), Vec::<String>::new());
    assert_eq!(w.log.routed(), Vec::<String>::new());
    assert!(w.routes.is_empty());
}

/// A QoS 2 publish under way when its session ends must not leave its id behind.
#[test]
fn a_session_that_ends_while_a_qos2_publish_is_stored_leaves_nothing() {
    let mut w = World::new();
    let a = w.client("a", V5);
    w.connect(a, &Opts::durable()).unwrap();
    w.holds.exact = true;
    w.publish(a, "p/x", 2, "x");
    w.disconnect_with(a, ReasonCode::NORMAL_DISCONNECTION, Some(0));
    w.pass(2);
    w.holds.exact = false;
    w.settle();
    w.pass(2);
    assert_eq!(w.log.state_keys(), Vec::<String>::new());
}

#[test]
fn keep_alive_ends_a_silent_client_and_pings_keep_it() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V311));
    w.connect(
        a,
        &Opts {
            keep_alive: 10,
            ..Opts::clean()
        },
    )
    .unwrap();
    w.connect(
        b,
        &Opts {
            keep_alive: 10,
            ..Opts::clean()
        },
    )
    .unwrap();
    w.pass(14);
    w.send(b, &Packet::PingReq);
    w.got(a);
    assert!(w.got(b).contains(&Got::Pong));
    w.pass(3);
    assert_eq!(w.got(a), [Got::Disconnect(0x8D), Got::Closed]);
    assert_eq!(w.got(b), []);
    w.pass(14);
    assert_eq!(w.got(b), [Got::Closed]);
    assert_eq!(
        w.log
            .presence
            .iter()
            .filter(|p| p.reason.as_deref() == Some("keepAliveTimeout"))
            .count(),
        2
    );
}

#[test]
fn a_second_connect_is_a_protocol_error() {
    let mut w = World::new();
    let a = w.client("a", V5);
    w.connect(a, &Opts::clean()).unwrap();
    w.got(a);
    let auth = isthmus_mqtt::Auth {
        reason: ReasonCode::SUCCESS,
        authentication_method: None,
        authentication_data: None,
        reason_string: None,
        user_properties: isthmus_mqtt::UserProperties::default(),
    };
    w.send(a, &Packet::Auth(auth));
    assert_eq!(w.got(a), [Got::Disconnect(0x82), Got::Closed]);
}

#[test]
fn presence_pairs_connects_and_disconnects_with_rising_ts() {
    let mut w = World::new();
    let a = w.client("a", V5);
    for _ in 0..3 {
        w.connect(a, &Opts::clean()).unwrap();
    }
    w.disconnect(a);
    w.pass(2);
    let events = &w.log.presence;
    assert_eq!(events.len(), 6);
    assert!(events.is_sorted_by(|x, y| x.ts < y.ts), "{events:?}");
    for pair in events.chunks(2) {
        assert!(pair[0].connects && !pair[1].connects);
        assert_eq!(pair[0].connection, pair[1].connection);
    }
    assert_eq!(events[1].reason.as_deref(), Some("takenOver"));
    assert_eq!(events[5].reason.as_deref(), Some("client"));
}
