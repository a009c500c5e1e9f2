//! Who gets into a guarded Kafka, and what is said to who does not.

use std::sync::OnceLock;
use std::time::Duration;

use isthmus_kafka::client::{Connection, Identity, Mechanism, Sasl, Tls, Unreachable, reach};
use isthmus_tests::Kafka;
use isthmus_tests::kafka::{PASSWORD, USERNAME};

const SOON: Duration = Duration::from_secs(60);

fn guarded() -> &'static Kafka {
    static GUARDED: OnceLock<Kafka> = OnceLock::new();
    GUARDED.get_or_init(Kafka::secured)
}

fn trusting() -> Tls {
    Tls {
        ca: Some(guarded().guard().authority.clone()),
        identity: None,
    }
}

fn by_password(mechanism: Mechanism, password: &str) -> Connection {
    Connection {
        bootstrap_servers: guarded().bootstrap_by_password(),
        tls: Some(trusting()),
        sasl: Some(Sasl {
            mechanism,
            username: USERNAME.to_owned(),
            password: password.to_owned(),
        }),
    }
}

const MECHANISMS: [Mechanism; 3] = [
    Mechanism::Plain,
    Mechanism::ScramSha256,
    Mechanism::ScramSha512,
];

#[test]
fn the_right_password_gets_in() {
    for mechanism in MECHANISMS {
        let answer = reach(&by_password(mechanism, PASSWORD), SOON);
        assert_eq!(answer, Ok(()), "{mechanism:?}");
    }
}

#[test]
fn a_wrong_password_is_said() {
    for mechanism in MECHANISMS {
        let answer = reach(&by_password(mechanism, "not this one"), SOON);
        let said = matches!(answer, Err(Unreachable::Authentication(_)));
        assert!(said, "{mechanism:?}: {answer:?}");
    }
}

#[test]
fn a_certificate_gets_in_and_nobody_without_one() {
    let guard = guarded().guard();
    let mut connection = Connection {
        bootstrap_servers: guarded().bootstrap_by_certificate(),
        tls: Some(trusting()),
        sasl: None,
    };
    assert!(matches!(reach(&connection, SOON), Err(Unreachable::Tls(_))));
    connection.tls = Some(Tls {
        identity: Some(Identity {
            certificate: guard.certificate.clone(),
            key: guard.key.clone(),
        }),
        ..trusting()
    });
    assert_eq!(reach(&connection, SOON), Ok(()));
}

#[test]
fn an_authority_that_signed_nothing_is_said() {
    let mut connection = by_password(Mechanism::Plain, PASSWORD);
    connection.tls = Some(Tls {
        ca: Some(Kafka::secured().guard().authority.clone()),
        identity: None,
    });
    let answer = reach(&connection, SOON);
    assert!(matches!(answer, Err(Unreachable::Tls(_))), "{answer:?}");
}
