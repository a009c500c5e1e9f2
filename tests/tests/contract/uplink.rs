//! Section 2: device to Kafka. What a record holds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use isthmus_tests::client::Outgoing;
use isthmus_tests::{Client, Options, Parent, QoS, Record, Spec, Tail, Version, unique};

use crate::{EVERY_QOS, EVERY_VERSION, client, client5};

fn tail(parent: &str) -> Tail {
    let service = crate::shared();
    Tail::from_now(service.bootstrap(), &service.topic(parent))
}

fn now() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Publishes by a client of its own and gives the record that follows.
fn stored(message: &Outgoing) -> Record {
    let id = unique("up");
    let mut tail = tail("up");
    assert_eq!(client5(&id).publish(message), 0);
    tail.keyed(&id)
}

/// 2.3, 2.5, ruling 3: the value's exact bytes, the key, and no header that says base64.
#[test]
fn the_value_is_the_envelope_to_the_byte() {
    for version in EVERY_VERSION {
        for qos in EVERY_QOS {
            let id = unique("up");
            let topic = format!("up/a/b/{id}");
            let mut tail = tail("up");
            let before = now();
            let mut device = Client::connect(
                &crate::shared().address(),
                &Options::new(&id).version(version),
            );
            assert_eq!(
                device.publish(&Outgoing::new(&topic, "21.5 °C").qos(qos)),
                0
            );
            let record = tail.keyed(&id);
            let ts = record.json()["ts"].as_i64().unwrap();
            let after = now();
            assert!(
                (before..=after).contains(&ts),
                "ts {ts} is not the time of receipt, {before} to {after}"
            );
            assert_eq!(
                record.text(),
                format!(r#"{{"clientId":"{id}","topic":"{topic}","payload":"21.5 °C","ts":{ts}}}"#)
            );
            assert_eq!(record.timestamp, ts, "Kafka's timestamp is ts");
            assert_eq!(record.header("payload-encoding"), None);
            assert_eq!(record.header("mqttTopic"), Some(topic.as_str()));
            assert_eq!(
                record.header("qoslevel"),
                Some((qos as u8).to_string().as_str())
            );
            assert_eq!(record.header("retain"), Some("false"));
        }
    }
}

/// Ruling 3: only `"`, `\` and control characters are escaped.
#[test]
fn only_quotes_backslashes_and_control_characters_are_escaped() {
    let plain = "/ é 😀 \u{7f} \u{2028} <&>";
    let payload = format!("\"q\" \\ {plain}\n\t\r\u{8}\u{c}\u{1}\u{0}");
    let record = stored(&Outgoing::new("up/esc", payload.clone()));
    assert_eq!(record.json()["payload"], payload.as_str());
    assert!(record.text().contains(plain), "{}", record.text());
}

/// Ruling 3.
#[test]
fn an_empty_payload_is_an_empty_string() {
    let record = stored(&Outgoing::new("up/empty", ""));
    assert!(
        record.text().contains(r#""payload":"","ts":"#),
        "{}",
        record.text()
    );
    assert_eq!(record.header("payload-encoding"), None);
}

/// 2.4: standard base64, padded, and the header says so.
#[test]
fn a_payload_that_is_not_utf8_is_base64_and_says_so() {
    for payload in [
        &[0xff][..],
        &[0, 0xff, 0xfe, 0x80],
        &[0xc3, 0x28],
        &[0xed, 0xa0, 0x80],
    ] {
        let record = stored(&Outgoing::new("up/binary", payload));
        assert_eq!(record.json()["payload"], STANDARD.encode(payload));
        assert_eq!(record.header("payload-encoding"), Some("base64"));
    }
}

/// 2.4: a valid UTF-8 payload that looks like base64 has no such header.
#[test]
fn a_payload_that_looks_like_base64_stays_as_it_is() {
    let record = stored(&Outgoing::new("up/text", "AP/+gA=="));
    assert_eq!(record.json()["payload"], "AP/+gA==");
    assert_eq!(record.header("payload-encoding"), None);
}

/// 2.1 and ruling 1: the bare parent and `parent/` are stored.
#[test]
fn the_bare_parent_and_an_empty_child_are_stored() {
    for topic in ["up", "up/", "up//x", "up/a b/ü/😀"] {
        let record = stored(&Outgoing::new(topic, "x"));
        assert_eq!(record.json()["topic"], topic);
    }
}

/// 2.5, ruling 4: what an MQTT 5 publish carries, in headers.
#[test]
fn mqtt5_properties_become_headers() {
    let mut message = Outgoing::new("up/properties", "x")
        .qos(QoS::ExactlyOnce)
        .retained();
    message.content_type = Some("text/plain".to_owned());
    message.response_topic = Some("answers/7".to_owned());
    message.correlation_data = Some(vec![0, 255, 7]);
    let user = [
        ("b", "1"),
        ("a", "2"),
        ("b", "3"),
        ("payload-encoding", "base64"),
    ];
    message.user = user.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
    let record = stored(&message);
    assert_eq!(record.header("retain"), Some("true"));
    assert_eq!(record.header("qoslevel"), Some("2"));
    assert_eq!(record.header("contentType"), Some("text/plain"));
    assert_eq!(record.header("responseTopic"), Some("answers/7"));
    let correlation = record
        .headers
        .iter()
        .find(|(name, _)| name == "correlationData");
    assert_eq!(correlation.unwrap().1.as_deref(), Some(&[0, 255, 7][..]));
    assert_eq!(record.headers_named("user.b"), ["1", "3"]);
    let order: Vec<_> = record
        .headers
        .iter()
        .filter(|(name, _)| name.starts_with("user."))
        .collect();
    let names: Vec<_> = order.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["user.b", "user.a", "user.b", "user.payload-encoding"]
    );
    assert_eq!(
        record.header("payload-encoding"),
        None,
        "a device forged it"
    );
    // Leave nothing behind for other tests.
    client(&unique("up")).publish(&Outgoing::new("up/properties", "").retained());
}

/// 2.2: delivered and not stored, and no Kafka topic appears.
#[test]
fn a_parent_that_was_not_created_is_delivered_and_not_stored() {
    let parent = unique("nowhere");
    let mut subscriber = client(&unique("sub"));
    subscriber.subscribe(&format!("{parent}/#"), QoS::ExactlyOnce);
    let mut device = client(&unique("up"));
    for qos in EVERY_QOS {
        device.publish(&Outgoing::new(&format!("{parent}/x"), "x").qos(qos));
        assert_eq!(subscriber.message().topic, format!("{parent}/x"));
    }
    let topics = isthmus_tests::kafka::shared().topics();
    assert!(
        !topics.iter().any(|topic| topic.contains(&parent)),
        "{topics:?}"
    );
}

/// Ruling 1: a leading slash, another case, an illegal name, `$`: not stored, delivered.
#[test]
fn names_beside_a_parent_are_delivered_and_not_stored() {
    let id = unique("up");
    let mut tail = tail("up");
    let mut subscriber = client(&unique("sub"));
    let mut device = client(&id);
    for topic in ["/up/a", "UP/a", "up a/a", "upé/a", "up2/a", "$up/a"] {
        subscriber.subscribe(topic, QoS::AtLeastOnce);
        assert_eq!(device.publish(&Outgoing::new(topic, "not stored")), 0);
        assert_eq!(subscriber.message().topic, topic);
    }
    device.publish(&Outgoing::new("up/last", "stored"));
    assert_eq!(tail.keyed(&id).json()["topic"], "up/last");
}

/// 2.8 and ruling 2: the system names are ordinary MQTT topics and never reach Kafka.
#[test]
fn system_names_used_by_devices_never_reach_kafka() {
    let service = crate::shared();
    let mut subscriber = client(&unique("sub"));
    let mut device = client(&unique("up"));
    for name in [
        "mq2mqtt",
        "mq2mqtt-dead-letter",
        "mqtt-device-connect",
        "mqtt-device-disconnect",
    ] {
        let marker = unique("marker");
        let mut tail = Tail::from_now(service.bootstrap(), &service.topic(name));
        subscriber.subscribe(&format!("{name}/#"), QoS::AtLeastOnce);
        device.publish(&Outgoing::new(&format!("{name}/x"), marker.clone()));
        device.publish(&Outgoing::new(name, marker.clone()));
        assert_eq!(subscriber.message().text(), marker);
        assert_eq!(subscriber.message().text(), marker);
        // A record of our own behind it: what stands before has been read.
        let last = isthmus_tests::Outgoing::new(&service.topic(name), "last").key(&marker);
        last.header("mqttTopic", unique("nobody"))
            .send(service.bootstrap());
        let record = tail.find("our own record", |record| {
            let value =
                String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
            assert!(!value.contains(&marker), "stored in {name}: {value}");
            record.key.as_deref() == Some(marker.as_bytes())
        });
        assert_eq!(record.text(), "last");
    }
}

/// 2.8: what came from Kafka does not go back.
#[test]
fn a_downlink_message_under_a_parent_is_not_stored() {
    let service = crate::shared();
    let id = unique("up");
    let mut tail = tail("up");
    let mut device = client(&id);
    device.subscribe(&format!("up/{id}"), QoS::AtLeastOnce);
    let command = isthmus_tests::Outgoing::new(&service.topic("mq2mqtt"), "no loop").key(&id);
    command
        .header("mqttTopic", format!("up/{id}"))
        .send(service.bootstrap());
    assert_eq!(device.message().text(), "no loop");
    device.publish(&Outgoing::new("up/last", "stored"));
    let last = tail.find("the last", |record| {
        assert!(
            !record.text().contains("no loop"),
            "a loop: {}",
            record.text()
        );
        record.key.as_deref() == Some(id.as_bytes())
    });
    assert_eq!(last.json()["payload"], "stored");
}

/// 2.1, ruling 16: a will is stored when it is published.
#[test]
fn a_will_is_stored() {
    for version in EVERY_VERSION {
        let id = unique("up");
        let mut tail = tail("up");
        let options = Options::new(&id)
            .version(version)
            .will("up/wills", "gone", QoS::AtLeastOnce);
        Client::connect(&crate::shared().address(), &options).vanish();
        let record = tail.keyed(&id);
        assert_eq!(record.json()["topic"], "up/wills");
        assert_eq!(record.json()["payload"], "gone");
    }
}

/// Ruling 7: an envelope above the topic's limit is refused before routing.
/// Conformance 3.1.1: 4.8.0-2
#[test]
fn an_envelope_above_the_topics_limit_is_refused_and_not_delivered() {
    let small = Parent::new("small", 1).config("max.message.bytes", "10000");
    let service = crate::start(
        isthmus_tests::kafka::shared(),
        Spec::new("limit").parent(small),
    );
    let address = service.address();
    let mut subscriber = Client::connect(&address, &Options::new("watch"));
    subscriber.subscribe("small/#", QoS::AtLeastOnce);
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let large = Outgoing::new("small/large", vec![b'x'; 20_000]).qos(qos);
        let mut five = Client::connect(&address, &Options::new("five").version(Version::V5));
        assert_eq!(five.publish(&large), 0x97);
        assert_eq!(
            five.publish(&Outgoing::new("small/ok", "goes on").qos(qos)),
            0
        );
        let mut three = Client::connect(&address, &Options::new("three"));
        three.send(&large).unwrap();
        assert_eq!(three.ended(), None);
        assert_eq!(
            subscriber.messages_before("goes on"),
            [],
            "a refused message was delivered"
        );
    }
    // What fits is stored whole, up to the limit.
    let mut tail = Tail::from_start(service.bootstrap(), &service.topic("small"));
    let mut five = Client::connect(&address, &Options::new("five").version(Version::V5));
    assert_eq!(
        five.publish(&Outgoing::new("small/fits", vec![b'y'; 9_000])),
        0
    );
    let records = tail.keyed_until("five", |record| record.json()["topic"] == "small/fits");
    assert_eq!(records.len(), 3, "refused messages were stored");
}
