//! The kit against parts that are known to be good: Kafka itself, and Debian's mosquitto for the
//! client and the ledger. A fault of the kit shows here and not as a fault of the service.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::process::Command;
use std::time::Duration;

use isthmus_tests::client::{Event, Filter, Outgoing as Publish};
use isthmus_tests::ledger::{Publisher, Subscriber, assert_complete_in_order, assert_exactly_once};
use isthmus_tests::run::{self, Process};
use isthmus_tests::{
    Client, Kafka, Options, Outgoing, QoS, SOON, Tail, Version, eventually, kafka, records,
};
use rdkafka::consumer::{BaseConsumer, Consumer as _};

struct Mosquitto {
    folder: std::path::PathBuf,
    port: u16,
    process: Option<Process>,
}

impl Mosquitto {
    fn start() -> Self {
        let folder = run::folder("mosquitto");
        let port = run::free_port();
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {}/\n\
             autosave_interval 1\nautosave_on_changes true\nmax_queued_messages 0\nuser root\n",
            folder.display()
        );
        run::write_file(&folder.join("mosquitto.conf"), &config);
        let mut broker = Self {
            folder,
            port,
            process: None,
        };
        broker.launch();
        broker
    }

    fn launch(&mut self) {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("mosquitto");
        command
            .env("PATH", format!("{path}:/usr/sbin"))
            .arg("-c")
            .arg(self.folder.join("mosquitto.conf"));
        self.process = Some(Process::start(
            "mosquitto",
            &mut command,
            &self.folder.join("mosquitto.log"),
        ));
        eventually("mosquitto listens", SOON, || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// An orderly stop, which saves the sessions, and a start.
    fn restart(&mut self) {
        let mut process = self.process.take().unwrap();
        process.signal(rustix::process::Signal::TERM);
        process.wait(SOON);
        self.launch();
    }
}

#[test]
fn the_client_agrees_with_mosquitto_in_every_version_and_qos() {
    let broker = Mosquitto::start();
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut client = Client::connect(&broker.address(), &Options::new("kit").version(version));
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            client.subscribe("a/+", qos);
            assert_eq!(
                client.publish(&Publish::new("a/b", vec![7; 300_000]).qos(qos)),
                0
            );
            let message = client.message();
            assert_eq!(
                (message.topic.as_str(), message.qos, message.payload.len()),
                ("a/b", qos, 300_000)
            );
        }
        client.ping();
        assert_eq!(
            client.unsubscribe("a/+").len(),
            usize::from(version == Version::V5)
        );
        client.disconnect();
    }
}

#[test]
fn the_client_shows_what_mqtt5_carries() {
    let broker = Mosquitto::start();
    let mut client = Client::connect(&broker.address(), &Options::new("kit").version(Version::V5));
    client.subscribe_with(Some(17), &[Filter::new("t", QoS::AtLeastOnce)]);
    let mut message = Publish::new("t", "x");
    message.expiry = Some(60);
    message.content_type = Some("text/plain".to_owned());
    message.response_topic = Some("answer".to_owned());
    message.correlation_data = Some(vec![0, 255]);
    message.user = vec![
        ("k".to_owned(), "v".to_owned()),
        ("k".to_owned(), "w".to_owned()),
    ];
    client.publish(&message);
    let seen = client.message();
    assert_eq!(seen.subscription_ids, [17]);
    assert_eq!(seen.expiry, message.expiry);
    assert_eq!(seen.content_type, message.content_type);
    assert_eq!(seen.response_topic, message.response_topic);
    assert_eq!(seen.correlation_data, message.correlation_data);
    assert_eq!(seen.user, message.user);
}

#[test]
fn the_client_sees_takeovers_and_wills() {
    let broker = Mosquitto::start();
    let mut watcher = Client::connect(&broker.address(), &Options::new("watcher"));
    watcher.subscribe("will", QoS::AtLeastOnce);
    let options = Options::new("kit")
        .version(Version::V5)
        .will("will", "gone", QoS::AtLeastOnce);
    let mut first = Client::connect(&broker.address(), &options);
    let second = Client::connect(&broker.address(), &options);
    // mosquitto 2.0.11 closes the connection without a DISCONNECT.
    first.ended();
    assert_eq!(watcher.message().text(), "gone");
    second.vanish();
    assert_eq!(watcher.message().text(), "gone");
    assert_eq!(watcher.poll(Duration::from_millis(1)), None::<Event>);
}

#[test]
fn the_ledger_holds_over_restarts_of_mosquitto() {
    let mut broker = Mosquitto::start();
    for (qos, version) in [
        (QoS::AtLeastOnce, Version::V311),
        (QoS::ExactlyOnce, Version::V5),
    ] {
        let options = |name: &str| {
            Options::new(&format!("{name}{}", qos as u8))
                .version(version)
                .persistent()
        };
        let subscriber = Subscriber::start(&broker.address(), &options("sub"), "t/+", qos);
        let publisher = Publisher::start(&broker.address(), &options("pub"), "t/x", qos, 16, None);
        publisher.wait_for(200);
        for _ in 0..2 {
            broker.restart();
            publisher.wait_for(200);
        }
        let report = publisher.finish();
        assert!(
            report.connections >= 3 && report.forgotten == 0,
            "{report:?}"
        );
        let received = subscriber.finish(&[("t/x".to_owned(), report.last)]);
        match qos {
            QoS::ExactlyOnce => assert_exactly_once("t/x", &received["t/x"], report.last),
            _ => assert_complete_in_order("t/x", &received["t/x"], report.last),
        }
    }
}

#[test]
#[should_panic(expected = "2 is missing or late")]
fn the_ledger_finds_a_missing_message() {
    assert_complete_in_order("test", &[0, 1, 3], 3);
}

#[test]
#[should_panic(expected = "more than once")]
fn the_ledger_finds_a_repeated_message() {
    assert_exactly_once("test", &[0, 1, 1, 2], 2);
}

#[test]
#[should_panic(expected = "3 and what follows is missing")]
fn the_ledger_finds_a_missing_end() {
    assert_exactly_once("test", &[0, 1, 2], 3);
}

#[test]
fn kafka_keeps_what_it_acknowledged_over_a_kill() {
    let mut kafka = Kafka::start();
    kafka.create_topic("t", 2);
    let bootstrap = kafka.bootstrap();
    let record = Outgoing::new("t", "value")
        .key("key")
        .header("h", "1")
        .header("h", "2")
        .null_header("n");
    let (partition, offset) = record.send(&bootstrap);
    Outgoing::null("t").key("null").send(&bootstrap);
    kafka.kill();
    kafka.resume();
    let mut tail = Tail::from_start(&bootstrap, "t");
    let found = tail.keyed("key");
    assert_eq!(
        (found.partition, found.offset, found.text()),
        (partition, offset, "value")
    );
    assert_eq!(found.headers_named("h"), ["1", "2"]);
    assert!(found.headers.contains(&("n".to_owned(), None)));
    assert_eq!(tail.keyed("null").value, None);
    kafka.stop();
    kafka.resume();
}

#[test]
fn a_kafka_of_three_goes_on_without_one_of_its_nodes() {
    let mut kafka = Kafka::cluster(3);
    kafka.create_topic("t", 3);
    let bootstrap = kafka.bootstrap();
    let mut tail = Tail::from_start(&bootstrap, "t");
    for node in 0..2 {
        if node == 0 {
            kafka.node(node).kill();
        } else {
            kafka.node(node).stop();
        }
        let key = format!("without {node}");
        Outgoing::new("t", "value").key(&key).send(&bootstrap);
        assert_eq!(tail.keyed(&key).text(), "value");
        kafka.node(node).resume();
    }
    let replicas = kafka.replicas();
    assert!(replicas.contains(&("t".to_owned(), 3)), "{replicas:?}");
    kafka.stop();
    kafka.resume();
    assert_eq!(
        Tail::from_start(&bootstrap, "t").keyed("without 0").text(),
        "value"
    );
}

#[test]
fn packets_are_dropped_on_one_way_alone() {
    let kafka = Kafka::fragile(1, 2, 256);
    let answers = |way| {
        let asker: BaseConsumer = records::config(&kafka.bootstrap_by(way))
            .create()
            .expect("consumer");
        asker.fetch_metadata(None, Duration::from_secs(2)).is_ok()
    };
    assert!(answers(0) && answers(1));
    kafka.drop_packets(1);
    assert!(answers(0) && !answers(1));
    kafka.pass_packets(1);
    assert!(answers(1));
}

#[test]
fn a_tail_from_now_skips_what_was_there() {
    let kafka = kafka::shared();
    kafka.create_topic("now", 1);
    Outgoing::new("now", "before")
        .key("k")
        .send(&kafka.bootstrap());
    let mut tail = Tail::from_now(&kafka.bootstrap(), "now");
    Outgoing::new("now", "after")
        .key("k")
        .send(&kafka.bootstrap());
    assert_eq!(tail.keyed("k").text(), "after");
}

#[test]
fn ports_are_given_once() {
    let mut ports: Vec<u16> = (0..50).map(|_| run::free_port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 50);
}
