//! What the files of the contract share: the service that they run against, and its clients.
//!
//! The root of the test binary says how many brokers it has. Where there are several, each
//! connection goes to the next one in turn, so that a publisher and its subscriber are at different
//! brokers, and a device mostly at one that does not own it.

use isthmus_tests::{Client, Kafka, Options, QoS, Service, Spec, Version, service};

/// The service that tests share that change nothing for each other.
pub(crate) fn shared() -> &'static Service {
    service::shared_by(crate::BROKERS)
}

/// A service of a test's own.
pub(crate) fn start(kafka: &Kafka, spec: Spec) -> Service {
    Service::start(kafka, spec.brokers(crate::BROKERS))
}

/// A client of the shared service with a clean session.
pub(crate) fn client(id: &str) -> Client {
    Client::connect(&shared().address(), &Options::new(id))
}

/// The same with MQTT 5.
pub(crate) fn client5(id: &str) -> Client {
    Client::connect(&shared().address(), &Options::new(id).version(Version::V5))
}

pub(crate) const EVERY_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
pub(crate) const EVERY_VERSION: [Version; 3] = [Version::V31, Version::V311, Version::V5];
