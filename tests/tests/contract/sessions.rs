//! Section 5: sessions, clean start, expiry, takeover, resending, wills, retained messages.

use std::time::{Duration, Instant};

use isthmus_mqtt::AckType;
use isthmus_tests::client::{Event, Filter, Outgoing, Refusal};
use isthmus_tests::{Client, Kafka, Options, QoS, SOON, Spec, Version, eventually, kafka, unique};

use crate::{EVERY_VERSION, client, client5};

fn connect(options: &Options) -> Client {
    Client::connect(&crate::shared().address(), options)
}

/// 5.1
#[test]
fn a_clean_session_is_gone_with_its_connection() {
    for version in EVERY_VERSION {
        let (id, topic) = (unique("clean"), unique("t"));
        let options = Options::new(&id).version(version);
        let mut device = connect(&options);
        device.subscribe(&topic, QoS::AtLeastOnce);
        device.disconnect();
        client(&unique("pub")).publish(&Outgoing::new(&topic, "lost"));
        let mut device = connect(&options.clone().persistent());
        assert!(!device.welcome.session_present);
        client(&unique("pub")).publish(&Outgoing::new(&topic, "lost too"));
        device.subscribe(&topic, QoS::AtLeastOnce);
        client(&unique("pub")).publish(&Outgoing::new(&topic, "due"));
        assert_eq!(device.message().text(), "due");
        // Leave no stored session behind.
        connect(&options).disconnect();
    }
}

/// 5.2, 5.3
#[test]
fn a_kept_session_has_its_subscriptions_and_what_arrived_meanwhile_in_order() {
    for version in EVERY_VERSION {
        let (id, topic) = (unique("kept"), unique("t"));
        let options = Options::new(&id).version(version).persistent();
        let mut device = connect(&options);
        assert!(!device.welcome.session_present);
        device.subscribe(&format!("{topic}/+"), QoS::ExactlyOnce);
        device.disconnect();
        let mut publisher = client(&unique("pub"));
        for n in 0..30_u8 {
            let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(n % 3)];
            publisher.publish(&Outgoing::new(&format!("{topic}/{n}"), n.to_string()).qos(qos));
        }
        let mut device = connect(&options);
        // MQTT 3.1 has no flag for it.
        assert_eq!(device.welcome.session_present, version != Version::V31);
        for n in (0..30_u8).filter(|n| n % 3 != 0) {
            let message = device.message();
            assert_eq!(
                message.text(),
                n.to_string(),
                "QoS 0 is not kept, the rest comes in order"
            );
            assert_eq!(message.qos as u8, n % 3);
            assert!(!message.dup);
        }
        publisher.publish(&Outgoing::new(&format!("{topic}/live"), "live"));
        assert_eq!(device.message().text(), "live");
    }
}

/// 5.3: unacknowledged messages come again with DUP, in order, before the rest.
/// Conformance 3.1.1: 3.3.1-1, 4.4.0-1, 4.6.0-1
/// Conformance 5: 3.3.1-1, 4.4.0-1
#[test]
fn unacknowledged_messages_are_resent_with_dup_in_order() {
    for version in [Version::V311, Version::V5] {
        let (id, topic) = (unique("resend"), unique("t"));
        let options = Options::new(&id).version(version).persistent();
        let mut device = connect(&options.clone().silent());
        device.subscribe(&topic, QoS::ExactlyOnce);
        let mut publisher = client(&unique("pub"));
        for n in 0..6 {
            let qos = if n % 2 == 0 {
                QoS::AtLeastOnce
            } else {
                QoS::ExactlyOnce
            };
            publisher.publish(&Outgoing::new(&topic, n.to_string()).qos(qos));
        }
        let first: Vec<_> = (0..6).map(|_| device.message()).collect();
        assert!(first.iter().all(|message| !message.dup));
        device.vanish();
        publisher.publish(&Outgoing::new(&topic, "6"));
        let mut device = connect(&options);
        let again: Vec<_> = (0..7).map(|_| device.message()).collect();
        for (n, message) in again.iter().enumerate() {
            assert_eq!(message.text(), n.to_string());
            assert_eq!(message.dup, n < 6, "message {n}");
        }
        for (before, after) in first.iter().zip(&again) {
            assert_eq!(before.id, after.id, "the original packet identifiers");
        }
    }
}

/// After PUBREC the message itself is not sent again, PUBREL is.
/// Conformance 3.1.1: 4.3.3-1
#[test]
fn a_received_qos_2_message_is_released_and_not_repeated_after_a_reconnect() {
    let (id, topic) = (unique("q2"), unique("t"));
    let options = Options::new(&id).persistent().silent();
    let mut device = connect(&options);
    device.subscribe(&topic, QoS::ExactlyOnce);
    client(&unique("pub")).publish(&Outgoing::new(&topic, "once").qos(QoS::ExactlyOnce));
    let message = device.message();
    device.acknowledge(AckType::PubRec, message.id).unwrap();
    assert_eq!(device.acknowledged(AckType::PubRel, message.id), 0);
    device.vanish();
    let mut device = connect(&options);
    match device.poll(SOON) {
        Some(Event::Ack(AckType::PubRel, id, _)) => assert_eq!(id, message.id),
        other => panic!("expected PUBREL, got {other:?}"),
    }
    device.acknowledge(AckType::PubComp, message.id).unwrap();
    device.ping();
    client(&unique("pub")).publish(&Outgoing::new(&topic, "next"));
    assert_eq!(device.message().text(), "next");
}

/// A repeated PUBLISH of QoS 2 is one message.
/// Conformance 3.1.1: 4.3.3-2
#[test]
fn a_repeated_qos_2_publish_is_stored_and_delivered_once() {
    let service = crate::shared();
    let (id, watcher) = (unique("q2"), unique("watch"));
    let mut tail = isthmus_tests::Tail::from_now(service.bootstrap(), &service.topic("up"));
    let mut subscriber = client(&watcher);
    subscriber.subscribe(&format!("up/{id}"), QoS::ExactlyOnce);
    let options = Options::new(&id).persistent().silent();
    let message = Outgoing::new(&format!("up/{id}"), "once").qos(QoS::ExactlyOnce);
    let mut device = connect(&options);
    device.send_as(&message, 7, false).unwrap();
    assert_eq!(device.acknowledged(AckType::PubRec, 7), 0);
    device.send_as(&message, 7, true).unwrap();
    assert_eq!(device.acknowledged(AckType::PubRec, 7), 0);
    device.vanish();
    let mut device = connect(&options);
    device.send_as(&message, 7, true).unwrap();
    assert_eq!(device.acknowledged(AckType::PubRec, 7), 0);
    device.acknowledge(AckType::PubRel, 7).unwrap();
    assert_eq!(device.acknowledged(AckType::PubComp, 7), 0);
    // The id is free again: this is another message.
    let last = Outgoing::new(&format!("up/{id}"), "last").qos(QoS::ExactlyOnce);
    device.send_as(&last, 7, false).unwrap();
    assert_eq!(device.acknowledged(AckType::PubRec, 7), 0);
    let records = tail.keyed_until(&id, |record| record.json()["payload"] == "last");
    assert_eq!(records.len(), 2, "{records:?}");
    let delivered: Vec<_> = subscriber
        .messages_before("last")
        .iter()
        .map(|m| m.text().to_owned())
        .collect();
    assert_eq!(delivered, ["once"]);
}

/// Conformance 5: 4.1.0-2
/// 5.2: MQTT 5 clients ask for their own expiry, capped by `session.maxExpiry`; 3.x gets `session.expiry`.
#[test]
fn sessions_expire_after_their_time_and_not_before() {
    let kafka: &Kafka = kafka::shared();
    let spec = Spec::new("expiry").with("session: {expiry: 3s, maxExpiry: 4s}");
    let service = crate::start(kafka, spec);
    let address = service.address();
    let three = Options::new("three").persistent();
    let mut five = Options::new("five").version(Version::V5).persistent();
    five.session_expiry = Some(100);
    for options in [&three, &five] {
        let device = Client::connect(&address, options);
        if options.version == Version::V5 {
            assert_eq!(device.welcome.session_expiry, Some(4), "the cap is told");
        }
        device.disconnect();
    }
    // At once: still there.
    for options in [&three, &five] {
        let device = Client::connect(&address, options);
        assert!(device.welcome.session_present, "{}", options.client_id);
        device.disconnect();
    }
    // Their queues and subscriptions are held no longer than their time, counted from the disconnect.
    let start = Instant::now();
    eventually("the sessions expire", SOON, || {
        (start.elapsed() > Duration::from_millis(5500)).then_some(())
    });
    for options in [&three, &five] {
        let device = Client::connect(&address, options);
        assert!(
            !device.welcome.session_present,
            "{} outlived its expiry",
            options.client_id
        );
    }
}

/// MQTT 5, 3.14.2.2.2: a DISCONNECT may change the expiry.
#[test]
fn a_disconnect_may_end_the_session() {
    let options = Options::new(&unique("five"))
        .version(Version::V5)
        .persistent();
    let mut device = connect(&options);
    let goodbye = isthmus_mqtt::Disconnect {
        session_expiry: Some(0),
        ..Default::default()
    };
    device
        .transmit(&isthmus_mqtt::Packet::Disconnect(goodbye))
        .unwrap();
    device.ended();
    assert!(!connect(&options).welcome.session_present);
}

/// 5.6
#[test]
fn a_second_connection_takes_the_session_over_with_what_was_in_flight() {
    for version in [Version::V311, Version::V5] {
        let (id, topic) = (unique("over"), unique("t"));
        let options = Options::new(&id).version(version).persistent();
        let mut first = connect(&options.clone().silent());
        first.subscribe(&topic, QoS::AtLeastOnce);
        client(&unique("pub")).publish(&Outgoing::new(&topic, "in flight"));
        assert_eq!(first.message().text(), "in flight");
        let mut second = connect(&options);
        assert!(second.welcome.session_present);
        assert_eq!(first.ended(), (version == Version::V5).then_some(0x8E));
        let again = second.message();
        assert_eq!((again.text(), again.dup), ("in flight", true));
    }
}

/// 5.6: a clean session taken over starts anew.
#[test]
fn a_clean_session_taken_over_starts_anew() {
    let (id, topic) = (unique("over"), unique("t"));
    let mut first = connect(&Options::new(&id).silent());
    first.subscribe(&topic, QoS::AtLeastOnce);
    client(&unique("pub")).publish(&Outgoing::new(&topic, "in flight"));
    first.message();
    let mut second = connect(&Options::new(&id).persistent());
    assert!(!second.welcome.session_present);
    first.ended();
    second.subscribe(&topic, QoS::AtLeastOnce);
    client(&unique("pub")).publish(&Outgoing::new(&topic, "new"));
    assert_eq!(second.message().text(), "new");
}

/// 5.6: CONNECT with clean = 1 ends a stored session for good.
#[test]
fn clean_start_ends_a_stored_session_for_good() {
    let (id, topic) = (unique("kept"), unique("t"));
    let kept = Options::new(&id).persistent();
    let mut device = connect(&kept);
    device.subscribe(&topic, QoS::AtLeastOnce);
    device.disconnect();
    client(&unique("pub")).publish(&Outgoing::new(&topic, "lost"));
    connect(&Options::new(&id)).vanish();
    let mut device = connect(&kept);
    assert!(!device.welcome.session_present);
    device.subscribe(&topic, QoS::AtLeastOnce);
    client(&unique("pub")).publish(&Outgoing::new(&topic, "due"));
    assert_eq!(device.message().text(), "due");
}

/// Ruling 19
#[test]
fn an_empty_client_id_is_generated_or_refused() {
    let address = crate::shared().address();
    match Client::try_connect(&address, &Options::new("").persistent()) {
        Err(Refusal::Code(code)) => assert_eq!(code, 0x85, "return code 2"),
        other => panic!("3.1.1 without a clientId and clean = 0: {other:?}"),
    }
    let five = Client::connect(&address, &Options::new("").version(Version::V5));
    assert!(
        five.welcome
            .assigned_client_id
            .as_deref()
            .is_some_and(|id| !id.is_empty())
    );
    let mut three = Client::connect(&address, &Options::new(""));
    three.ping();
}

/// Ruling 13: a repeated SUBSCRIBE replaces and loses nothing that is queued.
#[test]
fn a_repeated_subscribe_loses_and_repeats_nothing() {
    let (id, topic) = (unique("again"), unique("t"));
    let options = Options::new(&id).persistent();
    let mut device = connect(&options);
    device.subscribe(&topic, QoS::AtLeastOnce);
    device.disconnect();
    let mut publisher = client(&unique("pub"));
    for n in 0..20 {
        publisher.publish(&Outgoing::new(&topic, n.to_string()));
    }
    let mut device = connect(&options);
    device.subscribe(&topic, QoS::ExactlyOnce);
    publisher.publish(&Outgoing::new(&topic, "last").qos(QoS::ExactlyOnce));
    let numbers: Vec<_> = device
        .messages_before("last")
        .iter()
        .map(|m| m.text().parse::<u32>().unwrap())
        .collect();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
}

/// Ruling 13 and MQTT 5 3.8.3.1: Retain Handling.
#[test]
fn retained_messages_come_as_retain_handling_says() {
    let topic = unique("t");
    client(&unique("pub")).publish(&Outgoing::new(&topic, "kept").retained());
    let mut device = client5(&unique("dev"));
    let mark = unique("mark");
    client(&unique("pub")).publish(&Outgoing::new(&mark, "mark").retained());
    let mut replays = |handling| {
        let mut filter = Filter::new(&topic, QoS::AtLeastOnce);
        filter.options.retain_handling = handling;
        assert_eq!(device.subscribe_with(None, &[filter]), [1]);
        // Retained too, and subscribed to later: it comes behind what is replayed here.
        device.subscribe(&mark, QoS::AtLeastOnce);
        device.messages_before("mark").len()
    };
    use isthmus_mqtt::RetainHandling::{DoNotSend, Send, SendIfNew};
    assert_eq!(replays(DoNotSend), 0);
    assert_eq!(replays(SendIfNew), 0, "the subscription was there already");
    assert_eq!(replays(Send), 1);
    assert_eq!(replays(Send), 1, "and again");
    for topic in [&topic, &mark] {
        client(&unique("pub")).publish(&Outgoing::new(topic, "").retained());
    }
}

/// Ruling 13: whoever subscribes after the acknowledgement gets this message and no older one, at
/// whichever broker.
#[test]
fn a_subscriber_gets_the_retained_message_that_was_acknowledged_last() {
    let topic = unique("state");
    let mut publisher = client(&unique("pub"));
    for number in 0..30 {
        let text = number.to_string();
        publisher.publish(&Outgoing::new(&topic, text.as_str()).retained());
        let mut device = client(&unique("dev"));
        device.subscribe(&topic, QoS::AtLeastOnce);
        let message = device.message();
        assert_eq!((message.text(), message.retain), (text.as_str(), true));
    }
    publisher.publish(&Outgoing::new(&topic, "").retained());
}

/// Ruling 16: an orderly DISCONNECT takes the will away; a lost connection publishes it.
#[test]
fn a_will_is_published_for_a_lost_connection_alone() {
    let topic = unique("wills");
    let mut watcher = client(&unique("watch"));
    watcher.subscribe(&topic, QoS::AtLeastOnce);
    let options = |id: &str, text: &str| Options::new(id).will(&topic, text, QoS::AtLeastOnce);
    connect(&options(&unique("dev"), "orderly")).disconnect();
    connect(&options(&unique("dev"), "lost")).vanish();
    assert_eq!(watcher.message().text(), "lost");
}

/// Ruling 16: the MQTT 5 delay counts, and a device that is back in time takes the will away.
#[test]
fn a_delayed_will_waits_for_the_device_to_come_back() {
    let topic = unique("wills");
    let mut watcher = client(&unique("watch"));
    watcher.subscribe(&topic, QoS::AtLeastOnce);
    let options = |id: &str, text: &str, delay| {
        let mut options =
            Options::new(id)
                .version(Version::V5)
                .persistent()
                .will(&topic, text, QoS::AtLeastOnce);
        options.will.as_mut().unwrap().delay = delay;
        options
    };
    let back = unique("back");
    connect(&options(&back, "never", 2)).vanish();
    let _device = connect(&Options::new(&back).version(Version::V5).persistent());
    let start = Instant::now();
    connect(&options(&unique("gone"), "due", 2)).vanish();
    assert_eq!(watcher.message().text(), "due");
    let waited = start.elapsed();
    assert!(
        waited >= Duration::from_millis(1500),
        "the delay of 2 s was {waited:?}"
    );
}
