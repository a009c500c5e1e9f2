//! Section 5.4 and rulings 12 and 15: queue limits, windows, shared subscriptions.

use isthmus_tests::client::{Event, Filter, Outgoing};
use isthmus_tests::{Client, Options, QoS, SOON, Spec, Version, kafka, unique};

use crate::{client, client5};

fn numbers(device: &mut Client, end: &str) -> Vec<u32> {
    device
        .messages_before(end)
        .iter()
        .map(|message| message.text().parse().expect("a number"))
        .collect()
}

/// 5.4: past the limit the oldest goes.
#[test]
fn the_oldest_goes_when_a_queue_is_full() {
    let spec = Spec::new("queue").with("session: {maxQueuedMessages: 10}");
    let service = crate::start(kafka::shared(), spec);
    let address = service.address();
    let options = Options::new("device").persistent();
    let mut device = Client::connect(&address, &options);
    device.subscribe("t", QoS::AtLeastOnce);
    device.disconnect();
    let mut publisher = Client::connect(&address, &Options::new("publisher"));
    for n in 0..25 {
        publisher.publish(&Outgoing::new("t", n.to_string()));
    }
    let mut device = Client::connect(&address, &options);
    let first = device.message();
    assert_eq!(first.text(), "15");
    publisher.publish(&Outgoing::new("t", "end"));
    assert_eq!(numbers(&mut device, "end"), (16..25).collect::<Vec<_>>());
}

/// 5.4, in bytes.
#[test]
fn a_queue_is_bounded_in_bytes() {
    let spec = Spec::new("queue").with("session: {maxQueuedBytes: 100Ki}");
    let service = crate::start(kafka::shared(), spec);
    let address = service.address();
    let options = Options::new("device").persistent();
    let mut device = Client::connect(&address, &options);
    device.subscribe("t", QoS::AtLeastOnce);
    device.disconnect();
    let mut publisher = Client::connect(&address, &Options::new("publisher"));
    let body = |n: u32| format!("{n}:{}", "x".repeat(10_000));
    for n in 0..30 {
        publisher.publish(&Outgoing::new("t", body(n)));
    }
    let mut device = Client::connect(&address, &options);
    let first: u32 = device
        .message()
        .text()
        .split(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        (20..=24).contains(&first),
        "100 KiB hold ten messages of 10 KB or a few less, from {first} on"
    );
    for n in first + 1..30 {
        assert_eq!(device.message().text(), body(n));
    }
}

/// MQTT 5 3.1.2.11.3: never more unacknowledged messages than the client takes.
#[test]
fn receive_maximum_bounds_what_is_in_flight() {
    let topic = unique("t");
    let mut options = Options::new(&unique("dev"))
        .version(Version::V5)
        .persistent()
        .silent();
    options.receive_maximum = Some(3);
    let mut device = Client::connect(&crate::shared().address(), &options);
    device.subscribe(&topic, QoS::AtLeastOnce);
    let mut publisher = client(&unique("pub"));
    for n in 0..10 {
        publisher.publish(&Outgoing::new(&topic, n.to_string()));
    }
    for n in 0..10_u32 {
        let message = device.message();
        assert_eq!(message.text(), n.to_string());
        if n == 2 {
            // PINGRESP comes behind whatever was sent; nothing beyond the third was.
            device.ping();
            assert_eq!(
                device.pick(std::time::Duration::from_millis(300), as_message),
                None
            );
        }
        if n >= 2 {
            // Two stay open: the first two.
            device
                .acknowledge(isthmus_mqtt::AckType::PubAck, message.id)
                .unwrap();
        }
    }
    Client::connect(
        &crate::shared().address(),
        &Options::new(&options.client_id),
    )
    .disconnect();
}

fn as_message(event: &Event) -> Option<String> {
    match event {
        Event::Message(message) => Some(message.text().to_owned()),
        _ => None,
    }
}

/// A device that does not acknowledge gets what comes after the window when it does.
#[test]
fn a_queue_longer_than_the_window_arrives_whole_and_in_order() {
    let topic = unique("t");
    let options = Options::new(&unique("dev")).persistent();
    let address = crate::shared().address();
    let mut device = Client::connect(&address, &options);
    device.subscribe(&topic, QoS::ExactlyOnce);
    device.disconnect();
    let mut publisher = client(&unique("pub"));
    for n in 0..400 {
        let qos = if n % 2 == 0 {
            QoS::AtLeastOnce
        } else {
            QoS::ExactlyOnce
        };
        publisher.publish(&Outgoing::new(&topic, n.to_string()).qos(qos));
    }
    let mut device = Client::connect(&address, &options);
    publisher.publish(&Outgoing::new(&topic, "end"));
    assert_eq!(numbers(&mut device, "end"), (0..400).collect::<Vec<_>>());
}

/// MQTT 5 3.3.2.3.3: a message that expired in the queue is not sent; the rest of its time is told.
#[test]
fn messages_expire_in_the_queue() {
    let topic = unique("t");
    let options = Options::new(&unique("dev"))
        .version(Version::V5)
        .persistent();
    let address = crate::shared().address();
    let mut device = Client::connect(&address, &options);
    device.subscribe(&topic, QoS::AtLeastOnce);
    device.disconnect();
    let mut publisher = client5(&unique("pub"));
    let message = |text: &str, expiry| Outgoing {
        expiry,
        ..Outgoing::new(&topic, text)
    };
    publisher.publish(&message("short", Some(1)));
    publisher.publish(&message("long", Some(1000)));
    publisher.publish(&message("for ever", None));
    let start = std::time::Instant::now();
    isthmus_tests::eventually("two seconds", SOON, || {
        (start.elapsed().as_millis() > 2100).then_some(())
    });
    let mut device = Client::connect(&address, &options);
    let long = device.message();
    assert_eq!(long.text(), "long");
    assert!(matches!(long.expiry, Some(900..=998)), "{:?}", long.expiry);
    let last = device.message();
    assert_eq!((last.text(), last.expiry), ("for ever", None));
}

/// Ruling 15: online members first, each message to one.
#[test]
fn a_shared_group_takes_each_message_once_and_online_members_first() {
    for version in [Version::V311, Version::V5] {
        let (group, topic) = (unique("group"), unique("t"));
        let filter = format!("$share/{group}/{topic}");
        let address = crate::shared().address();
        let offline = Options::new(&unique("offline"))
            .version(version)
            .persistent();
        let mut member = Client::connect(&address, &offline);
        member.subscribe(&filter, QoS::AtLeastOnce);
        member.disconnect();
        let mut members: Vec<Client> = (0..2)
            .map(|_| {
                let options = Options::new(&unique("member")).version(version);
                let mut member = Client::connect(&address, &options);
                member.subscribe(&filter, QoS::AtLeastOnce);
                member
            })
            .collect();
        let mut publisher = client(&unique("pub"));
        // SUBACK of a session that ends with its connection waits 200 ms at most for the word of
        // other brokers.
        for member in &mut members {
            isthmus_tests::eventually("its turn", SOON, || {
                publisher.publish(&Outgoing::new(&topic, "warm"));
                member.poll(std::time::Duration::from_millis(50))
            });
        }
        for n in 0..20 {
            publisher.publish(&Outgoing::new(&topic, n.to_string()));
        }
        let mut all = Vec::new();
        for member in &mut members {
            let mark = unique("mark");
            member.subscribe(&mark, QoS::AtLeastOnce);
            publisher.publish(&Outgoing::new(&mark, mark.clone()));
            let taken = member.messages_before(&mark);
            let taken = taken.iter().filter(|message| message.text() != "warm");
            let taken: Vec<u32> = taken.map(|m| m.text().parse().unwrap()).collect();
            assert!(!taken.is_empty(), "an online member got nothing");
            all.extend(taken);
        }
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<_>>());
        // Nobody online: the persistent member's queue takes them.
        for member in members {
            member.disconnect();
        }
        publisher.publish(&Outgoing::new(&topic, "kept"));
        assert_eq!(Client::connect(&address, &offline).message().text(), "kept");
    }
}

/// Ruling 15: No Local in a shared subscription is a protocol error.
#[test]
fn no_local_in_a_shared_subscription_is_a_protocol_error() {
    let mut device = client5(&unique("dev"));
    let mut filter = Filter::new("$share/g/t", QoS::AtLeastOnce);
    filter.options.no_local = true;
    let subscribe = isthmus_mqtt::Subscribe {
        packet_id: 1,
        subscription_id: None,
        user_properties: isthmus_mqtt::property::UserProperties::default(),
        filters: vec![isthmus_mqtt::SubscribeFilter {
            filter: filter.filter,
            options: filter.options,
        }],
    };
    device
        .transmit(&isthmus_mqtt::Packet::Subscribe(subscribe))
        .unwrap();
    assert_eq!(device.ended(), Some(0x82));
}

/// A slow reader slows nobody else.
#[test]
fn a_client_that_does_not_read_slows_no_other() {
    let topic = unique("t");
    let mut slow = client(&unique("slow"));
    slow.subscribe(&topic, QoS::AtMostOnce);
    let mut quick = client(&unique("quick"));
    quick.subscribe(&topic, QoS::AtLeastOnce);
    let mut publisher = client(&unique("pub"));
    // 40 MB: more than socket buffers and the 4 MiB of the outgoing bound hold.
    let body = "x".repeat(400_000);
    for n in 0..100 {
        publisher.publish(&Outgoing::new(&topic, format!("{n}:{body}")));
        assert!(quick.message().text().starts_with(&format!("{n}:")));
    }
}
