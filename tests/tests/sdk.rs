//! Other people's clients, unchanged, against the service: each makes the round trip at each QoS.
//!
//! The programs are in `tests/sdk`; `hack/setup sdk LANG` builds them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::process::Command;

use isthmus_tests::run::{self, Process};
use isthmus_tests::{Outgoing, SOON, Service, Tail, parts, service, unique};

/// Starts the client, waits until it is subscribed and its message acknowledged, finds the message
/// in Kafka, commands the device from Kafka, and expects the client to end well with both.
fn round_trips(name: &str, version: &str, transport: &str, command: impl Fn() -> Command) {
    let service = service::shared();
    let mut stored = Tail::from_now(service.bootstrap(), &service.topic("up"));
    for qos in ["0", "1", "2"] {
        // MQTT 3.1 allows 23 characters.
        let device = unique("sdk");
        let what = format!("{name} {version} {transport} at QoS {qos}");
        let (topic, commands) = (format!("up/sdk/{device}"), format!("cmd/{device}"));
        let payload = format!("from {name} at QoS {qos}: grüße");
        let mut command = command();
        command
            .env("MQTT_HOST", "127.0.0.1")
            .env("MQTT_PORT", service.spec().mqtt.to_string())
            .env("MQTT_WS_PORT", service.spec().ws.to_string())
            .env("MQTT_USERNAME", "device")
            .env("MQTT_PASSWORD", "secret")
            .env("MQTT_CLIENT_ID", &device)
            .env("MQTT_TOPIC", &topic)
            .env("MQTT_COMMANDS", &commands)
            .env("MQTT_PAYLOAD", &payload)
            .env("MQTT_QOS", qos)
            .env("MQTT_VERSION", version)
            .env("MQTT_TRANSPORT", transport);
        let log = run::folder(&device).join("client.log");
        let mut client = Process::start(&what, &mut command, &log);
        client.wait_for_line("published", SOON);
        client.wait_for_line(&format!("received {topic} {payload}"), SOON);

        let record = stored.keyed(&device);
        assert_eq!(record.json()["topic"], topic.as_str());
        assert_eq!(record.json()["payload"], payload.as_str());
        assert_eq!(record.header("qoslevel"), Some(qos));

        command_from_kafka(service, &commands, qos);
        client.wait_for_line(&format!("received {commands} go {qos}"), SOON);
        let status = client.wait(SOON);
        assert!(
            status.success(),
            "{what} ended with {status}:\n{}",
            client.output()
        );
    }
}

fn command_from_kafka(service: &Service, topic: &str, qos: &str) {
    Outgoing::new(&service.topic("mq2mqtt"), format!("go {qos}"))
        .header("mqttTopic", topic)
        .header("qosLevel", qos)
        .send(service.bootstrap());
}

fn python(version: &str, transport: &str) {
    let folder = parts::sdk("python");
    round_trips("python", version, transport, || {
        let mut command = Command::new(folder.join("venv/bin/python"));
        command.arg(folder.join("roundtrip.py"));
        command
    });
}

/// Conformance 3.1.1: 7.0.0-2
#[test]
fn paho_python_makes_the_round_trip_in_every_version() {
    for version in ["3.1", "3.1.1", "5"] {
        python(version, "tcp");
    }
}

#[test]
fn paho_python_makes_the_round_trip_over_websocket() {
    python("3.1.1", "ws");
}

fn node(program: &str, version: &str, transport: &str) {
    let folder = parts::sdk("js");
    round_trips(program, version, transport, || {
        let mut command = Command::new("node");
        command.arg(folder.join(format!("{program}.mjs")));
        command
    });
}

#[test]
fn mqttjs_makes_the_round_trip_in_every_version() {
    for version in ["3.1", "3.1.1", "5"] {
        node("mqttjs", version, "tcp");
    }
}

#[test]
fn mqttjs_makes_the_round_trip_over_websocket() {
    for version in ["3.1.1", "5"] {
        node("mqttjs", version, "ws");
    }
}

#[test]
fn paho_javascript_makes_the_round_trip() {
    for version in ["3.1", "3.1.1"] {
        node("paho", version, "ws");
    }
}

#[test]
fn paho_java_makes_the_round_trip() {
    let folder = parts::sdk("java");
    let classes = format!(
        "{0}/target/roundtrip.jar:{0}/target/lib/*",
        folder.display()
    );
    for (version, transport) in [("3.1", "tcp"), ("3.1.1", "tcp"), ("3.1.1", "ws")] {
        round_trips("java", version, transport, || {
            let mut command = Command::new("java");
            command.args(["-XX:TieredStopAtLevel=1", "-cp", &classes, "RoundTrip"]);
            command
        });
    }
}

#[test]
fn paho_go_makes_the_round_trip() {
    let program = parts::sdk("go").join("roundtrip");
    for (version, transport) in [("3.1", "tcp"), ("3.1.1", "tcp"), ("3.1.1", "ws")] {
        round_trips("go", version, transport, || Command::new(&program));
    }
}

#[test]
fn paho_c_makes_the_round_trip() {
    let program = parts::sdk("c").join("paho");
    for version in ["3.1", "3.1.1"] {
        round_trips("paho-c", version, "tcp", || Command::new(&program));
    }
}

/// Conformance 3.1.1: 7.0.0-2
#[test]
fn libmosquitto_makes_the_round_trip_in_every_version() {
    let program = parts::sdk("c").join("mosquitto");
    for version in ["3.1", "3.1.1", "5"] {
        round_trips("libmosquitto", version, "tcp", || Command::new(&program));
    }
}

/// One of mosquitto's two programs with what both need to connect.
fn mosquitto(program: &str, version: &str, id: &str, topic: &str, qos: &str) -> Command {
    let mut command = Command::new("stdbuf");
    command.args([
        "-oL",
        program,
        "-h",
        "127.0.0.1",
        "-u",
        "device",
        "-P",
        "secret",
    ]);
    command.args(["-p", &service::shared().spec().mqtt.to_string()]);
    command.args(["-V", version, "-i", id, "-t", topic, "-q", qos]);
    command
}

#[test]
fn mosquitto_pub_and_sub_make_the_round_trip_in_every_version() {
    let service = service::shared();
    let mut stored = Tail::from_now(service.bootstrap(), &service.topic("up"));
    for version in ["31", "311", "5"] {
        for qos in ["0", "1", "2"] {
            // MQTT 3.1 allows 23 characters.
            let device = unique(&format!("mosq{version}{qos}"));
            let (topic, commands) = (format!("up/sdk/{device}"), format!("cmd/{device}"));
            let folder = run::folder(&device);

            let mut command =
                mosquitto("mosquitto_sub", version, &format!("{device}s"), &topic, qos);
            command.args(["-t", &commands, "-v", "-d", "-C", "2"]);
            let mut subscriber =
                Process::start("mosquitto_sub", &mut command, &folder.join("sub.log"));
            subscriber.wait_for_line("Subscribed", SOON);

            let mut command = mosquitto("mosquitto_pub", version, &device, &topic, qos);
            command.args(["-m", "hello there"]);
            let mut publisher =
                Process::start("mosquitto_pub", &mut command, &folder.join("pub.log"));
            let status = publisher.wait(SOON);
            assert!(
                status.success(),
                "mosquitto_pub: {status}\n{}",
                publisher.output()
            );

            subscriber.wait_for_line(&format!("{topic} hello there"), SOON);
            let record = stored.keyed(&device);
            assert_eq!(record.json()["payload"], "hello there");
            assert_eq!(record.header("qoslevel"), Some(qos));

            command_from_kafka(service, &commands, qos);
            subscriber.wait_for_line(&format!("{commands} go {qos}"), SOON);
            assert!(subscriber.wait(SOON).success(), "{}", subscriber.output());
        }
    }
}
