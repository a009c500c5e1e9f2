//! Where Kafka is and how one gets in: what every Kafka client of Isthmus starts from.
//!
//! A [`Connection`] holds the text of certificates and the password itself, never a path, so that
//! two equal ones reach Kafka in the same way. Its secrets are in no log and no `Debug` output.

mod files;
mod reach;

use rdkafka::ClientConfig;
use std::fmt;

pub use files::FileError;
pub use reach::{Unreachable, reach};

/// Everything that a client must know to talk to a Kafka cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Connection {
    /// `host:port,host:port`.
    pub bootstrap_servers: String,
    /// Over TLS; absent: in plain.
    pub tls: Option<Tls>,
    /// Who we are to Kafka; absent: nobody, or whom the client certificate names.
    pub sasl: Option<Sasl>,
}

/// TLS to Kafka. Kafka's certificate must name the host that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// PEM certificates of the authorities that are trusted; absent: those of the system.
    pub ca: Option<String>,
    /// What we show when Kafka asks for a certificate.
    pub identity: Option<Identity>,
}

/// A client certificate with its key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// PEM: the certificate, and after it those between it and the authority.
    pub certificate: String,
    /// PEM private key, not encrypted.
    pub key: String,
}

/// Name and password for Kafka.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sasl {
    /// How the password is proved.
    pub mechanism: Mechanism,
    /// Kafka's user.
    pub username: String,
    /// Its password, exactly.
    pub password: String,
}

pub use isthmus_config::SaslMechanism as Mechanism;

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sasl")
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// In plain and as nobody.
    #[must_use]
    pub fn plain(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            ..Self::default()
        }
    }

    /// The configuration that every client starts from.
    ///
    /// No client ever makes a topic by asking for it (contract, ruling 10.5), and a Kafka that is
    /// back is found again within a second. The log level of librdkafka follows that of `tracing`
    /// for the target `librdkafka` at the time of this call.
    #[must_use]
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", "isthmus")
            .set("allow.auto.create.topics", "false")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            // A Kafka that starts may name only some of a topic's partitions, and is believed until then.
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("security.protocol", self.protocol());
        if let Some(tls) = &self.tls {
            // Without it librdkafka trusts what the system's own OpenSSL does.
            if let Some(ca) = &tls.ca {
                config.set("ssl.ca.pem", ca);
            }
            if let Some(identity) = &tls.identity {
                config
                    .set("ssl.certificate.pem", &identity.certificate)
                    .set("ssl.key.pem", &identity.key);
            }
        }
        if let Some(sasl) = &self.sasl {
            config
                .set("sasl.mechanism", sasl.mechanism.as_str())
                .set("sasl.username", &sasl.username)
                .set("sasl.password", &sasl.password);
        }
        config
    }

    fn protocol(&self) -> &'static str {
        match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        }
    }
}

impl From<&str> for Connection {
    fn from(bootstrap_servers: &str) -> Self {
        Self::plain(bootstrap_servers)
    }
}

impl From<&String> for Connection {
    fn from(bootstrap_servers: &String) -> Self {
        Self::plain(bootstrap_servers)
    }
}

impl From<String> for Connection {
    fn from(bootstrap_servers: String) -> Self {
        Self::plain(bootstrap_servers)
    }
}

impl From<&Self> for Connection {
    fn from(connection: &Self) -> Self {
        connection.clone()
    }
}

/// What [`Connection::config`] gives.
#[must_use]
pub fn base_config(connection: impl Into<Connection>) -> ClientConfig {
    connection.into().config()
}

#[cfg(test)]
mod tests;
