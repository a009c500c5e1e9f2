//! What a client says in its CONNECT.

use std::collections::HashSet;

use isthmus_mqtt::property::UserProperties;
use isthmus_mqtt::{Connect, MessageProperties, Packet, QoS, Version, Will};

/// A CONNECT, and how the client behaves afterwards.
#[derive(Clone, Debug)]
pub struct Options {
    /// Protocol version.
    pub version: Version,
    /// ClientId.
    pub client_id: String,
    /// Username, if any.
    pub username: Option<String>,
    /// Password, if any.
    pub password: Option<Vec<u8>>,
    /// cleanSession / Clean Start.
    pub clean: bool,
    /// Keep-alive in seconds, 0 for none.
    pub keep_alive: u16,
    /// MQTT 5: Session Expiry Interval.
    pub session_expiry: Option<u32>,
    /// MQTT 5: Receive Maximum.
    pub receive_maximum: Option<u16>,
    /// MQTT 5: Maximum Packet Size.
    pub maximum_packet_size: Option<u32>,
    /// The will, if any.
    pub will: Option<WillOptions>,
    /// Whether messages are acknowledged as they come.
    pub acknowledge: bool,
    pub(super) taken: HashSet<u16>,
    pub(super) next_id: u16,
}

/// A will.
#[derive(Clone, Debug)]
pub struct WillOptions {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// QoS.
    pub qos: QoS,
    /// Retain.
    pub retain: bool,
    /// MQTT 5: Will Delay Interval in seconds.
    pub delay: u32,
}

impl Options {
    /// A clean MQTT 3.1.1 session of the account that every service of the tests has.
    #[must_use]
    pub fn new(client_id: &str) -> Self {
        Self {
            version: Version::V311,
            client_id: client_id.to_owned(),
            username: Some("device".to_owned()),
            password: Some(b"secret".to_vec()),
            clean: true,
            keep_alive: 0,
            session_expiry: None,
            receive_maximum: None,
            maximum_packet_size: None,
            will: None,
            acknowledge: true,
            taken: HashSet::new(),
            next_id: 1,
        }
    }

    /// The same in another version; an MQTT 5 session that is to be kept asks for an hour.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        if version == Version::V5 && !self.clean {
            self.session_expiry = Some(3600);
        }
        self
    }

    /// A session that is kept (cleanSession = 0; in MQTT 5 for an hour).
    #[must_use]
    pub fn persistent(mut self) -> Self {
        self.clean = false;
        let version = self.version;
        self.version(version)
    }

    /// Another account.
    #[must_use]
    pub fn account(mut self, username: &str, password: &str) -> Self {
        self.username = Some(username.to_owned());
        self.password = Some(password.into());
        self
    }

    /// No account.
    #[must_use]
    pub fn anonymous(mut self) -> Self {
        self.username = None;
        self.password = None;
        self
    }

    /// With a will.
    #[must_use]
    pub fn will(mut self, topic: &str, payload: &str, qos: QoS) -> Self {
        let (topic, payload) = (topic.to_owned(), payload.into());
        self.will = Some(WillOptions {
            topic,
            payload,
            qos,
            retain: false,
            delay: 0,
        });
        self
    }

    /// Messages are not acknowledged by themselves.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.acknowledge = false;
        self
    }

    pub(crate) fn packet(&self) -> Packet<'_> {
        Packet::Connect(Connect {
            version: self.version,
            bridge: false,
            clean_start: self.clean,
            keep_alive: self.keep_alive,
            client_id: &self.client_id,
            username: self.username.as_deref(),
            password: self.password.as_deref(),
            will: self.will.as_ref().map(|will| Will {
                topic: &will.topic,
                payload: &will.payload,
                qos: will.qos,
                retain: will.retain,
                delay: will.delay,
                properties: MessageProperties::default(),
            }),
            session_expiry: self.session_expiry,
            receive_maximum: self.receive_maximum,
            maximum_packet_size: self.maximum_packet_size,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            user_properties: UserProperties::default(),
            authentication_method: None,
            authentication_data: None,
        })
    }
}
