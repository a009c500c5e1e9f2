use super::*;
use isthmus_config::{Kafka, KafkaSasl, KafkaTls};

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nZ2VoZWlt\n-----END PRIVATE KEY-----\n";

fn secured() -> Connection {
    Connection {
        bootstrap_servers: "kafka:9093".into(),
        tls: Some(Tls {
            ca: Some(CERTIFICATE.into()),
            identity: Some(Identity {
                certificate: CERTIFICATE.into(),
                key: KEY.into(),
            }),
        }),
        sasl: Some(Sasl {
            mechanism: Mechanism::ScramSha512,
            username: "mqtt".into(),
            password: "geheim".into(),
        }),
    }
}

#[test]
fn a_secured_connection_sets_what_librdkafka_needs() {
    let config = secured().config();
    for (name, value) in [
        ("bootstrap.servers", "kafka:9093"),
        ("security.protocol", "sasl_ssl"),
        ("ssl.ca.pem", CERTIFICATE),
        ("ssl.certificate.pem", CERTIFICATE),
        ("ssl.key.pem", KEY),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", "mqtt"),
        ("sasl.password", "geheim"),
        ("allow.auto.create.topics", "false"),
    ] {
        assert_eq!(config.get(name), Some(value), "{name}");
    }
}

#[test]
fn each_way_in_has_its_protocol() {
    let of = |tls: bool, sasl: bool| {
        let mut connection = secured();
        connection.tls = connection.tls.filter(|_| tls);
        connection.sasl = connection.sasl.filter(|_| sasl);
        connection.protocol()
    };
    assert_eq!(of(false, false), "plaintext");
    assert_eq!(of(true, false), "ssl");
    assert_eq!(of(false, true), "sasl_plaintext");
    assert_eq!(of(true, true), "sasl_ssl");
}

#[test]
fn librdkafka_is_built_with_what_is_offered() {
    for mechanism in [
        Mechanism::Plain,
        Mechanism::ScramSha256,
        Mechanism::ScramSha512,
    ] {
        let mut connection = secured();
        connection.tls = Some(Tls::default());
        connection.sasl = connection.sasl.map(|sasl| Sasl { mechanism, ..sasl });
        connection.config().create_native_config().unwrap();
        let client: Result<rdkafka::consumer::BaseConsumer, _> = connection.config().create();
        assert!(client.is_ok(), "{mechanism:?}: {:?}", client.err());
    }
}

#[test]
fn no_secret_is_shown() {
    let shown = format!("{:?}", secured());
    assert!(
        shown.contains("ScramSha512") && shown.contains("mqtt"),
        "{shown}"
    );
    assert!(
        !shown.contains("geheim") && !shown.contains("Z2VoZWlt"),
        "{shown}"
    );
}

#[test]
fn equal_connections_reach_kafka_in_the_same_way() {
    let mut other = secured();
    assert_eq!(other, secured());
    other.sasl.as_mut().unwrap().password = "anders".into();
    assert_ne!(other, secured());
}

fn kafka() -> Kafka {
    Kafka {
        bootstrap_servers: "kafka:9093".into(),
        topic_prefix: String::new(),
        tls: None,
        sasl: None,
    }
}

#[test]
fn files_are_read_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let mut kafka = kafka();
    kafka.tls = Some(KafkaTls {
        ca_file: Some(file("ca.crt", CERTIFICATE)),
        certificate_file: Some(file("tls.crt", CERTIFICATE)),
        key_file: Some(file("tls.key", KEY)),
    });
    kafka.sasl = Some(KafkaSasl {
        mechanism: Mechanism::ScramSha512,
        username: "mqtt".into(),
        password_file: file("password", " geheim\n"),
    });
    let mut expected = secured();
    expected.sasl.as_mut().unwrap().password = " geheim\n".into();
    assert_eq!(Connection::read(&kafka).unwrap(), expected);
}

#[test]
fn a_wrong_file_is_named_with_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let absent = folder.path().join("absent");
    let tls = |tls: KafkaTls| {
        let mut kafka = kafka();
        kafka.tls = Some(tls);
        Connection::read(&kafka).unwrap_err().to_string()
    };
    let said = tls(KafkaTls {
        ca_file: Some(absent.clone()),
        ..KafkaTls::default()
    });
    let start = format!("kafka.tls.caFile: cannot read {}: ", absent.display());
    assert!(said.starts_with(&start), "{said}");
    let said = tls(KafkaTls {
        ca_file: Some(empty.clone()),
        ..KafkaTls::default()
    });
    let holds = format!("{} holds no PEM certificate", empty.display());
    assert_eq!(said, format!("kafka.tls.caFile: {holds}"));
    let said = tls(KafkaTls {
        certificate_file: Some(empty.clone()),
        ..KafkaTls::default()
    });
    assert_eq!(said, "kafka.tls: certificateFile and keyFile come together");
    let mut kafka = kafka();
    kafka.sasl = Some(KafkaSasl {
        mechanism: Mechanism::Plain,
        username: "mqtt".into(),
        password_file: empty.clone(),
    });
    let said = Connection::read(&kafka).unwrap_err().to_string();
    let expected = format!("kafka.sasl.passwordFile: {} is empty", empty.display());
    assert_eq!(said, expected);
}
