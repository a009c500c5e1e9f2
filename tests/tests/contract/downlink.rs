//! Section 3: Kafka to device. Headers, payloads, dead letter, sizes, offline devices.

use isthmus_tests::client::Outgoing as Publish;
use isthmus_tests::{Client, Options, Outgoing, QoS, Tail, Version, unique};

use crate::{client, client5};

/// A record for `mq2mqtt` of the shared service.
pub(crate) fn record(value: impl Into<Vec<u8>>) -> Outgoing {
    Outgoing::new(&crate::shared().topic("mq2mqtt"), value)
}

pub(crate) fn send(record: Outgoing) {
    record.send(crate::shared().bootstrap());
}

/// 3.1: delivered unchanged, not retained, QoS 1 when the header is absent.
#[test]
fn a_record_reaches_its_subscriber_unchanged() {
    let topic = unique("cmd");
    let mut device = client(&unique("dev"));
    device.subscribe(&topic, QoS::ExactlyOnce);
    for value in [&b"text"[..], b"", &[0, 0xff, 0xfe], "{\"é\":1}".as_bytes()] {
        send(record(value).header("mqttTopic", &topic));
        let message = device.message();
        assert_eq!(
            (message.payload.as_slice(), message.qos, message.retain),
            (value, QoS::AtLeastOnce, false)
        );
        assert_eq!(message.topic, topic);
    }
    send(Outgoing::null(&crate::shared().topic("mq2mqtt")).header("mqttTopic", &topic));
    assert_eq!(
        device.message().payload,
        b"",
        "a null value is an empty payload"
    );
}

/// 3.1: min(record, subscription).
#[test]
fn the_qos_is_the_lower_of_record_and_subscription() {
    let topic = unique("cmd");
    let levels = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
    for subscribed in levels {
        let mut device = client(&unique("dev"));
        device.subscribe(&topic, subscribed);
        for asked in levels {
            let text = (asked as u8).to_string();
            send(
                record("x")
                    .header("mqttTopic", &topic)
                    .header("qosLevel", text),
            );
            assert_eq!(
                device.message().qos,
                asked.min(subscribed),
                "{asked:?} for {subscribed:?}"
            );
        }
    }
}

/// 3.1, ruling 9: names in any case, the last over all spellings wins, null is absent.
#[test]
fn header_names_are_matched_in_any_case_and_the_last_wins() {
    let topic = unique("cmd");
    let mut device = client(&unique("dev"));
    device.subscribe(&topic, QoS::ExactlyOnce);
    let qos = |device: &mut Client| device.message().qos;
    send(
        record("1")
            .header("MQTTTOPIC", &topic)
            .header("QOSLEVEL", "2"),
    );
    assert_eq!(qos(&mut device), QoS::ExactlyOnce);
    send(
        record("2")
            .header("mqtttopic", "other")
            .header("MqttTopic", &topic)
            .header("qoslevel", "0"),
    );
    assert_eq!(qos(&mut device), QoS::AtMostOnce);
    send(
        record("3")
            .header("mqttTopic", &topic)
            .header("qosLevel", "2")
            .header("qoslevel", "0"),
    );
    assert_eq!(qos(&mut device), QoS::AtMostOnce);
    send(
        record("4")
            .header("mqttTopic", &topic)
            .header("qosLevel", "2")
            .null_header("QOSLEVEL"),
    );
    assert_eq!(qos(&mut device), QoS::AtLeastOnce, "null is absent");
}

/// Ruling 9: one ASCII digit after trimming, else 1.
#[test]
fn an_invalid_qos_level_counts_as_one() {
    let topic = unique("cmd");
    let mut device = client(&unique("dev"));
    device.subscribe(&topic, QoS::ExactlyOnce);
    let cases = [
        (" 2 ", 2),
        ("\t0\n", 0),
        ("3", 1),
        ("-1", 1),
        ("two", 1),
        ("", 1),
        ("02", 1),
        ("２", 1),
    ];
    for (value, expected) in cases {
        send(
            record("x")
                .header("mqttTopic", &topic)
                .header("qosLevel", value),
        );
        assert_eq!(device.message().qos as u8, expected, "{value:?}");
    }
}

/// 3.1: records with the same key keep their order.
#[test]
fn records_with_the_same_key_arrive_in_order() {
    let topic = unique("cmd");
    let mut device = client(&unique("dev"));
    device.subscribe(&topic, QoS::AtLeastOnce);
    let producer = isthmus_tests::records::Producer::new(crate::shared().bootstrap());
    for n in 0..500 {
        producer.send(
            &record(n.to_string())
                .key(&topic)
                .header("mqttTopic", &topic),
        );
    }
    assert_eq!(producer.flush().len(), 500);
    for n in 0..500 {
        assert_eq!(device.message().text(), n.to_string());
    }
}

/// 3.1: `cleanSession` decides about offline persistent sessions.
#[test]
fn clean_session_records_are_for_devices_online_now() {
    let topic = unique("cmd");
    let id = unique("dev");
    let address = crate::shared().address();
    let options = Options::new(&id).persistent();
    let mut device = Client::connect(&address, &options);
    device.subscribe(&topic, QoS::AtLeastOnce);
    // Online: it gets them.
    send(
        record("online")
            .header("mqttTopic", &topic)
            .header("cleanSession", "true"),
    );
    assert_eq!(device.message().text(), "online");
    device.disconnect();
    // Offline: true is for nobody, everything else waits.
    let key = unique("key");
    for (value, payload) in [
        ("true", "lost"),
        ("TRUE", "lost"),
        ("false", "1"),
        ("False", "2"),
        ("yes", "3"),
        ("", "4"),
    ] {
        let out = record(payload).key(&key).header("mqttTopic", &topic);
        send(out.header("CLEANSESSION", value));
    }
    send(record("5").key(&key).header("mqttTopic", &topic));
    let mut device = Client::connect(&address, &options);
    assert!(device.welcome.session_present);
    for n in 1..=5 {
        assert_eq!(device.message().text(), n.to_string());
    }
}

/// 3.1: QoS 0 is not kept for offline sessions.
#[test]
fn qos_0_records_are_not_kept_for_offline_sessions() {
    let topic = unique("cmd");
    let options = Options::new(&unique("dev")).persistent();
    let address = crate::shared().address();
    let mut device = Client::connect(&address, &options);
    device.subscribe(&topic, QoS::AtLeastOnce);
    device.disconnect();
    send(
        record("lost")
            .key(&topic)
            .header("mqttTopic", &topic)
            .header("qosLevel", "0"),
    );
    send(
        record("kept")
            .key(&topic)
            .header("mqttTopic", &topic)
            .header("qosLevel", "1"),
    );
    assert_eq!(Client::connect(&address, &options).message().text(), "kept");
}

/// 3.5, rulings 9 and 10: a bad record goes to the dead letter with its reason and stalls nothing.
#[test]
fn bad_records_go_to_the_dead_letter_and_stall_nothing() {
    let service = crate::shared();
    let mut dead = Tail::from_now(service.bootstrap(), &service.topic("mq2mqtt-dead-letter"));
    let topic = unique("cmd");
    let mut device = client(&unique("dev"));
    device.subscribe(&topic, QoS::AtLeastOnce);
    let long = "x".repeat(65_536);
    let cases: [(Option<&[u8]>, &str); 14] = [
        (None, "missing-topic"),
        (Some(b""), "invalid-topic"),
        (Some(b"a\0b"), "invalid-topic"),
        (Some(&[b'a', 0xff]), "invalid-topic"),
        (Some(b"a/b#"), "invalid-topic"),
        (Some(b"a/#/b"), "invalid-topic"),
        (Some(b"a+/b"), "invalid-topic"),
        (Some(b"#a"), "invalid-topic"),
        (Some(long.as_bytes()), "invalid-topic"),
        (Some(b"$share/g/a"), "reserved-topic"),
        (Some(b"$share/g"), "reserved-topic"),
        (Some(b"$SYS/x"), "reserved-topic"),
        (Some(b"$SYS/#"), "reserved-topic"),
        (Some(b"$SYS/broker/version"), "reserved-topic"),
    ];
    for (name, expected) in cases {
        let key = unique("bad");
        let mut bad = record(format!("value of {key}"))
            .key(&key)
            .header("other", "kept")
            .header("other", "too");
        if let Some(name) = name {
            bad = bad.header("mqttTopic", name);
        }
        let (partition, offset) = bad.send(service.bootstrap());
        let copy = dead.keyed(&key);
        assert_eq!(copy.header("error"), Some(expected), "{name:?}");
        assert_eq!(copy.text(), format!("value of {key}"));
        assert_eq!(copy.headers_named("other"), ["kept", "too"]);
        let numbers: Vec<_> = copy
            .headers
            .iter()
            .filter_map(|(_, v)| String::from_utf8(v.clone()?).ok())
            .collect();
        assert!(
            numbers.contains(&partition.to_string()),
            "no source partition in {:?}",
            copy.headers
        );
        assert!(
            numbers.contains(&offset.to_string()),
            "no source offset in {:?}",
            copy.headers
        );
        // The flow goes on behind it.
        send(record(key.clone()).key(&key).header("mqttTopic", &topic));
        assert_eq!(device.message().text(), key);
    }
}

/// 3.6, ruling 8, ruling 22: a record of the seed's size arrives whole, in every version.
#[test]
fn a_record_of_a_megabyte_arrives_whole() {
    let topic = unique("cmd");
    let value: Vec<u8> = (0..1_050_637_u32)
        .map(|n| u8::try_from(n % 251).unwrap())
        .collect();
    for version in crate::EVERY_VERSION {
        let options = Options::new(&unique("dev")).version(version);
        let mut device = Client::connect(&crate::shared().address(), &options);
        device.subscribe(&topic, QoS::AtLeastOnce);
        send(record(value.clone()).header("mqttTopic", &topic));
        assert!(
            device.message().payload == value,
            "a record of {} bytes was changed",
            value.len()
        );
    }
}

/// 3.5, ruling 8: larger than the instance's limit.
#[test]
fn a_record_above_the_packet_limit_goes_to_the_dead_letter() {
    let service = crate::shared();
    let mut dead = Tail::from_now(service.bootstrap(), &service.topic("mq2mqtt-dead-letter"));
    let key = unique("large");
    let topic = unique("cmd");
    let mut device = client(&unique("dev"));
    device.subscribe(&topic, QoS::AtLeastOnce);
    let value = vec![b'x'; 2 * 1024 * 1024 + 1000];
    send(record(value.clone()).key(&key).header("mqttTopic", &topic));
    let copy = dead.keyed(&key);
    assert_eq!(copy.header("error"), Some("too-large"));
    assert_eq!(copy.value.map(|value| value.len()), Some(value.len()));
    send(record("next").key(&key).header("mqttTopic", &topic));
    assert_eq!(device.message().text(), "next");
}

/// Ruling 8: skipped for the client that cannot take it, delivered to the others.
#[test]
fn a_record_above_a_clients_maximum_packet_size_is_skipped_for_it() {
    let topic = unique("cmd");
    let mut options = Options::new(&unique("dev")).version(Version::V5);
    options.maximum_packet_size = Some(1000);
    let mut small = Client::connect(&crate::shared().address(), &options);
    let mut other = client5(&unique("dev"));
    for device in [&mut small, &mut other] {
        device.subscribe(&topic, QoS::AtLeastOnce);
    }
    send(
        record(vec![b'x'; 2000])
            .key(&topic)
            .header("mqttTopic", &topic),
    );
    send(record("fits").key(&topic).header("mqttTopic", &topic));
    assert_eq!(small.message().text(), "fits");
    assert_eq!(other.message().payload.len(), 2000);
    assert_eq!(other.message().text(), "fits");
}

/// Ruling 9: downlink messages are never retained.
#[test]
fn downlink_messages_are_not_retained() {
    let topic = unique("cmd");
    let mut first = client(&unique("dev"));
    first.subscribe(&topic, QoS::AtLeastOnce);
    send(
        record("command")
            .header("mqttTopic", &topic)
            .header("retain", "true"),
    );
    assert!(!first.message().retain);
    let mut later = client(&unique("dev"));
    later.subscribe(&topic, QoS::AtLeastOnce);
    first.publish(&Publish::new(&topic, "marker"));
    assert_eq!(later.messages_before("marker"), []);
}

/// 3.1, ruling 9: the topic is taken as it is, untrimmed.
#[test]
fn the_topic_is_not_trimmed() {
    let stem = unique("cmd");
    let mut device = client(&unique("dev"));
    device.subscribe(&format!(" {stem} "), QoS::AtLeastOnce);
    device.subscribe(&stem, QoS::AtLeastOnce);
    send(record("spaces").header("mqttTopic", format!(" {stem} ")));
    let message = device.message();
    assert_eq!(
        (message.topic.as_str(), message.text()),
        (format!(" {stem} ").as_str(), "spaces")
    );
}
