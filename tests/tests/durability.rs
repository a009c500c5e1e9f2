//! Nothing acknowledged is lost, whatever dies (architecture section 6, invariants 1 to 3).
//!
//! Every test has a Kafka and a service of its own, since it harms them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::Duration;

use isthmus_tests::chaos::{Fault, Plan};
use isthmus_tests::client::Outgoing;
use isthmus_tests::ledger::{Load, Subscriber, assert_complete_in_order};
use isthmus_tests::{
    Client, Kafka, Options, QoS, SOON, Service, Spec, Tail, Version, eventually, records,
};

const BOTH: [QoS; 2] = [QoS::AtLeastOnce, QoS::ExactlyOnce];

/// An instance whose queues are long enough for a device that publishes as fast as it can.
fn spec(stem: &str) -> Spec {
    Spec::new(stem).with("session: {maxQueuedMessages: 1000000}")
}

#[test]
fn a_killed_broker_loses_nothing_in_the_middle_of_traffic() {
    let kafka = Kafka::start();
    let mut service = Service::start(&kafka, spec("killed"));
    let load = Load::start(&service, None);
    load.wait_for(300);
    for _ in 0..3 {
        service.kill_broker();
        service.wait_ready();
        load.wait_for(300);
    }
    let reports = load.verdict(&service);
    assert!(
        reports.iter().all(|report| report.connections >= 4),
        "the kills were noticed: {reports:?}"
    );
}

#[test]
fn a_service_on_an_empty_disk_knows_every_session_and_message() {
    let kafka = Kafka::start();
    let mut service = Service::start(&kafka, spec("empty"));
    let address = service.address();
    let options = Options::new("sleeper").persistent();
    let mut sleeper = Client::connect(&address, &options);
    sleeper.subscribe("news/+", QoS::ExactlyOnce);
    sleeper.disconnect();
    let mut publisher = Client::connect(&address, &Options::new("publisher"));
    for n in 0..200_u8 {
        publisher.publish(&Outgoing::new("news/x", n.to_string()).qos(BOTH[usize::from(n % 2)]));
    }
    publisher.publish(&Outgoing::new("state/a", "retained").retained());
    let load = Load::start(&service, None);
    load.wait_for(200);
    service.kill();
    service.lose_disk();
    service.launch();
    service.wait_ready();
    load.wait_for(200);
    load.verdict(&service);
    let mut sleeper = Client::connect(&address, &options);
    assert!(sleeper.welcome.session_present);
    for n in 0..200_u8 {
        assert_eq!(sleeper.message().text(), n.to_string());
    }
    sleeper.subscribe("state/+", QoS::AtLeastOnce);
    let state = sleeper.message();
    assert!(state.retain && state.text() == "retained");
}

#[test]
fn an_outage_of_kafka_disconnects_nobody_and_loses_nothing() {
    let seconds = std::env::var("ISTHMUS_OUTAGE")
        .map_or(12, |text| text.parse().expect("ISTHMUS_OUTAGE in seconds"));
    let outage = Duration::from_secs(seconds);
    let mut kafka = Kafka::start();
    let service = Service::start(&kafka, spec("outage"));
    let address = service.address();
    let mut live = Client::connect(&address, &Options::new("live"));
    live.subscribe("live/#", QoS::AtMostOnce);
    let mut talker = Client::connect(&address, &Options::new("talker"));
    let load = Load::start(&service, None);
    load.wait_for(200);

    kafka.stop();
    let before = load.acknowledged();
    let start = std::time::Instant::now();
    let mut number = 0;
    while start.elapsed() < outage {
        // PINGREQ is answered, and QoS 0 reaches live subscribers all the while (contract 2.7).
        talker.ping();
        talker.publish(&Outgoing::new("live/x", number.to_string()).qos(QoS::AtMostOnce));
        assert_eq!(live.message().text(), number.to_string());
        number += 1;
    }
    for (after, before) in load.acknowledged().into_iter().zip(before) {
        // At most what Kafka had already taken when it stopped.
        assert!(
            after - before <= 16,
            "{} messages acknowledged while Kafka was away",
            after - before
        );
    }
    kafka.resume();
    load.wait_for(200);
    let reports = load.verdict(&service);
    for report in reports {
        assert_eq!(report.connections, 1, "a publisher was disconnected");
        assert!(
            report.slowest >= outage / 2,
            "the outage was not felt: slowest {:?}",
            report.slowest
        );
    }
    talker.ping();
    live.ping();
}

#[test]
fn a_kafka_killed_under_load_loses_nothing() {
    let mut kafka = Kafka::start();
    let service = Service::start(&kafka, spec("kafka9"));
    let load = Load::start(&service, None);
    load.wait_for(200);
    kafka.kill();
    kafka.resume();
    load.wait_for(200);
    load.verdict(&service);
}

#[test]
fn downlink_records_reach_a_persistent_session_over_a_killed_broker() {
    let kafka = Kafka::start();
    let mut service = Service::start(&kafka, spec("down"));
    let options = Options::new("device").persistent();
    let subscriber =
        Subscriber::start(&service.address(), &options, "cmd/device", QoS::AtLeastOnce);
    let producer = records::Producer::new(service.bootstrap());
    let topic = service.topic("mq2mqtt");
    let command = |n: u64| {
        let record = isthmus_tests::Outgoing::new(&topic, format!("{n}:"));
        record.key("device").header("mqttTopic", "cmd/device")
    };
    let mut sent = 0;
    let mut produce = |count: u64| {
        for _ in 0..count {
            producer.send(&command(sent));
            sent += 1;
        }
        assert_eq!(producer.flush().len() as u64, count);
    };
    produce(500);
    service.kill_broker();
    produce(500);
    service.wait_ready();
    produce(500);
    let received = subscriber.finish(&[("cmd/device".to_owned(), 1499)]);
    assert_complete_in_order("commands", &received["cmd/device"], 1499);
}

#[test]
fn an_offline_queue_survives_a_killed_broker_and_a_killed_kafka() {
    let mut kafka = Kafka::start();
    let mut service = Service::start(&kafka, spec("queue"));
    let address = service.address();
    let options = Options::new("sleeper").persistent();
    let mut sleeper = Client::connect(&address, &options);
    sleeper.subscribe("news", QoS::AtLeastOnce);
    sleeper.disconnect();
    let mut publisher = Client::connect(&address, &Options::new("publisher"));
    for n in 0..100 {
        publisher.publish(&Outgoing::new("news", n.to_string()));
    }
    kafka.kill();
    service.kill_broker();
    kafka.resume();
    service.wait_ready();
    let mut publisher = Client::connect(&address, &Options::new("publisher"));
    for n in 100..200 {
        publisher.publish(&Outgoing::new("news", n.to_string()));
    }
    let mut sleeper = Client::connect(&address, &options);
    assert!(sleeper.welcome.session_present);
    for n in 0..200 {
        assert_eq!(sleeper.message().text(), n.to_string());
    }
}

#[test]
fn retained_messages_and_wills_survive_a_killed_broker() {
    let kafka = Kafka::start();
    let mut service = Service::start(&kafka, spec("wills"));
    let address = service.address();
    let watch = Options::new("watcher").persistent();
    let mut watcher = Client::connect(&address, &watch);
    watcher.subscribe("wills/#", QoS::AtLeastOnce);
    watcher.disconnect();
    let mut publisher = Client::connect(&address, &Options::new("publisher"));
    for n in 0..50 {
        publisher.publish(&Outgoing::new(&format!("state/{n}"), n.to_string()).retained());
    }
    publisher.publish(&Outgoing::new("state/7", "").retained());
    // Wills of every kind of session; they are due, since the connections end with the broker.
    let mut clients = Vec::new();
    for (id, clean) in [("clean", true), ("kept", false)] {
        for version in [Version::V311, Version::V5] {
            let name = format!("{id}-{version:?}");
            let mut options = Options::new(&name).version(version);
            if !clean {
                options = options.persistent();
            }
            clients.push(Client::connect(
                &address,
                &options.will(&format!("wills/{name}"), "gone", QoS::AtLeastOnce),
            ));
        }
    }
    let mut gone = Tail::from_now(
        service.bootstrap(),
        &service.topic("mqtt-device-disconnect"),
    );
    service.kill_broker();
    service.wait_ready();
    let mut watcher = Client::connect(&address, &watch);
    let mut wills: Vec<String> = (0..4).map(|_| watcher.message().topic).collect();
    wills.sort_unstable();
    assert_eq!(
        wills,
        [
            "wills/clean-V311",
            "wills/clean-V5",
            "wills/kept-V311",
            "wills/kept-V5"
        ]
    );
    // Ruling 18: the disconnects of a dead broker come from the next owner.
    for name in ["clean-V311", "clean-V5", "kept-V311", "kept-V5"] {
        assert_eq!(gone.keyed(name).header("reason"), Some("serverLost"));
    }
    let mut reader = Client::connect(&address, &Options::new("reader"));
    reader.subscribe("state/#", QoS::AtLeastOnce);
    let mut states: Vec<u32> = (0..49)
        .map(|_| reader.message().text().parse().unwrap())
        .collect();
    states.sort_unstable();
    assert_eq!(states, (0..50).filter(|n| *n != 7).collect::<Vec<_>>());
    drop(clients);
}

/// A frozen Kafka answers nothing and closes nothing.
#[test]
fn a_frozen_kafka_holds_acknowledgements_back_and_nothing_else() {
    let kafka = Kafka::start();
    let service = Service::start(&kafka, spec("frozen"));
    let address = service.address();
    let mut device = Client::connect(&address, &Options::new("device"));
    device.publish(&Outgoing::new("up/x", "before"));
    kafka.freeze();
    let id = device.send(&Outgoing::new("up/x", "held")).unwrap();
    device.ping();
    let early = device.pick(Duration::from_secs(3), |event| match event {
        isthmus_tests::client::Event::Ack(_, packet, _) if *packet == id => Some(()),
        _ => None,
    });
    assert_eq!(early, None, "acknowledged while Kafka was frozen");
    device.ping();
    kafka.thaw();
    assert_eq!(device.acknowledged(isthmus_mqtt::AckType::PubAck, id), 0);
    let mut tail = Tail::from_start(service.bootstrap(), &service.topic("up"));
    let stored = tail.keyed_until("device", |record| record.json()["payload"] == "held");
    assert_eq!(stored.len(), 2);
    eventually("/readyz answers 200 again", SOON, || {
        service.get("/readyz").filter(|(code, _)| *code == 200)
    });
}

/// `make chaos` in small: devices of every habit, and packets to Kafka dropped instead of refused.
#[test]
fn a_small_chaos_breaks_no_promise() {
    let plan = Plan {
        brokers: 1,
        nodes: 1,
        publishers: 40,
        subscribers: 40,
        period: Duration::from_millis(400),
        faults: vec![Fault::KillBroker, Fault::DropPackets, Fault::FreezeKafka],
        longest: Duration::from_secs(3),
        rest: Duration::from_secs(1),
        ..Plan::new(Duration::ZERO, isthmus_tests::seed())
    };
    let report = plan.run();
    eprintln!("{report}");
    assert_eq!(report.count(), 0, "promises were broken");
}
