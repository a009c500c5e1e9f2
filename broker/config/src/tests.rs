use super::*;
use serde_json::{Value, json};

fn written() -> Value {
    json!({
        "instance": {"namespace": "n", "name": "plant"},
        "node": "plant",
        "slots": 32,
        "kafka": {"bootstrapServers": "kafka:9093"},
        "listeners": {"mqtt": {"address": "0.0.0.0:1883"}},
        "peers": {
            "address": "0.0.0.0:7883", "advertised": "nowhere:7883",
            "caCertificate": "/etc/isthmus/ca/ca.crt", "caKey": "/etc/isthmus/ca/ca.key"
        },
        "monitoring": {"address": "0.0.0.0:9090"},
        "session": {
            "expirySeconds": 1, "maxExpirySeconds": 1, "maxQueuedMessages": 1, "maxQueuedBytes": 1
        },
        "limits": {
            "maxPacketSize": 1, "maxTopicLength": 1, "maxTopicLevels": 1, "maxClientIdLength": 1,
            "maxSubscriptionsPerClient": 1, "maxInflight": 1, "maxConnections": 1,
            "maxRetainedMessages": 1, "maxRetainedBytes": 1, "maxOutgoingBytesPerClient": 1,
            "maxKafkaBacklogBytes": 1
        },
        "authentication": {"allowAnonymous": false}
    })
}

fn kafka(kafka: Value) -> Result<Kafka, String> {
    let mut all = written();
    all["kafka"] = kafka;
    serde_json::from_value::<BrokerConfig>(all)
        .map(|config| config.kafka)
        .map_err(|error| error.to_string())
}

#[test]
fn kafka_takes_tls_and_sasl() {
    let text = json!({
        "bootstrapServers": "kafka:9093", "topicPrefix": "eu.",
        "tls": {"caFile": "/ca/ca.crt", "certificateFile": "/c/tls.crt", "keyFile": "/c/tls.key"},
        "sasl": {"mechanism": "SCRAM-SHA-512", "username": "mqtt", "passwordFile": "/p/password"}
    });
    let read = kafka(text.clone()).unwrap();
    assert_eq!(
        read.tls.as_ref().unwrap().ca_file,
        Some("/ca/ca.crt".into())
    );
    assert_eq!(
        read.sasl.as_ref().unwrap().mechanism,
        SaslMechanism::ScramSha512
    );
    assert_eq!(serde_json::to_value(&read).unwrap(), text);
    let plain = kafka(json!({"bootstrapServers": "kafka:9092", "tls": {}})).unwrap();
    assert_eq!(plain.tls, Some(KafkaTls::default()));
}

#[test]
fn mechanisms_have_the_names_that_kafka_gives_them() {
    for mechanism in [
        SaslMechanism::Plain,
        SaslMechanism::ScramSha256,
        SaslMechanism::ScramSha512,
    ] {
        assert_eq!(serde_json::to_value(mechanism).unwrap(), mechanism.as_str());
    }
}

#[test]
fn unknown_fields_of_tls_and_sasl_are_refused() {
    for (part, expected) in [
        (json!({"tls": {"ca": "x"}}), "unknown field `ca`"),
        (
            json!({"sasl": {"mechanism": "PLAIN", "username": "u", "password": "p"}}),
            "unknown field `password`",
        ),
        (
            json!({"sasl": {"mechanism": "GSSAPI", "username": "u", "passwordFile": "p"}}),
            "unknown variant `GSSAPI`",
        ),
    ] {
        let mut all = json!({"bootstrapServers": "kafka:9093"});
        for (name, value) in part.as_object().unwrap() {
            all[name] = value.clone();
        }
        let said = kafka(all).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn name_and_address_of_the_pod_go_before_those_of_the_file() {
    let config: BrokerConfig = serde_json::from_value(written()).unwrap();
    let pod = config
        .clone()
        .of_pod(
            Some("plant-1".into()),
            Some("plant-1.plant-brokers.n.svc:7883".into()),
        )
        .unwrap();
    assert_eq!(pod.node, "plant-1");
    let peers = pod.peers.unwrap();
    assert_eq!(peers.advertised, "plant-1.plant-brokers.n.svc:7883");
    assert_eq!(config.clone().of_pod(None, None).unwrap(), config);
}

#[test]
fn a_pod_without_a_name_does_not_start() {
    let mut config: BrokerConfig = serde_json::from_value(written()).unwrap();
    let said = config.clone().of_pod(Some(" ".into()), None).unwrap_err();
    assert_eq!(said.to_string(), "--node is empty");
    config.peers = None;
    let said = config.of_pod(None, Some("a:1".into())).unwrap_err();
    assert_eq!(
        said.to_string(),
        "--advertised is given, but the configuration has no \"peers\""
    );
}
