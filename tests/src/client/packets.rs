//! Packets as tests see and make them: owned, with the codes as plain numbers.

use isthmus_mqtt::property::{UserProperties, UserPropertiesBuf};
use isthmus_mqtt::{
    AckType, MessageProperties, Packet, Publish, QoS, RetainHandling, Subscribe, SubscribeFilter,
    SubscriptionOptions, Unsubscribe,
};

/// What a CONNACK said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Welcome {
    /// The reason code; for 3.x the one that means the same as its return code.
    pub code: u8,
    /// Session present.
    pub session_present: bool,
    /// MQTT 5: the session expiry, if the service changed it.
    pub session_expiry: Option<u32>,
    /// MQTT 5: the ClientId that the service gave.
    pub assigned_client_id: Option<String>,
    /// MQTT 5: Receive Maximum.
    pub receive_maximum: Option<u16>,
    /// MQTT 5: Maximum Packet Size.
    pub maximum_packet_size: Option<u32>,
    /// MQTT 5: Server Keep Alive.
    pub server_keep_alive: Option<u16>,
}

/// A message from the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// QoS.
    pub qos: QoS,
    /// Retain.
    pub retain: bool,
    /// DUP.
    pub dup: bool,
    /// Packet id, 0 for QoS 0.
    pub id: u16,
    /// MQTT 5: subscription identifiers.
    pub subscription_ids: Vec<u32>,
    /// MQTT 5: Message Expiry Interval.
    pub expiry: Option<u32>,
    /// MQTT 5: content type.
    pub content_type: Option<String>,
    /// MQTT 5: response topic.
    pub response_topic: Option<String>,
    /// MQTT 5: correlation data.
    pub correlation_data: Option<Vec<u8>>,
    /// MQTT 5: user properties.
    pub user: Vec<(String, String)>,
}

impl Message {
    /// The payload as text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("UTF-8 payload")
    }
}

/// What can happen to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// CONNACK
    Welcome(Welcome),
    /// PUBLISH
    Message(Message),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP with packet id and code.
    Ack(AckType, u16, u8),
    /// SUBACK
    SubAck(u16, Vec<u8>),
    /// UNSUBACK
    UnsubAck(u16, Vec<u8>),
    /// PINGRESP
    Pong,
    /// DISCONNECT
    Disconnect(u8),
    /// The connection is gone.
    Closed,
}

impl Event {
    pub(crate) fn of(packet: &Packet<'_>) -> Option<Self> {
        let codes =
            |reasons: &[isthmus_mqtt::ReasonCode]| reasons.iter().map(|reason| reason.0).collect();
        Some(match packet {
            Packet::ConnAck(ack) => Self::Welcome(Welcome {
                code: ack.reason.0,
                session_present: ack.session_present,
                session_expiry: ack.session_expiry,
                assigned_client_id: ack.assigned_client_id.map(str::to_owned),
                receive_maximum: ack.receive_maximum,
                maximum_packet_size: ack.maximum_packet_size,
                server_keep_alive: ack.server_keep_alive,
            }),
            Packet::Publish(publish) => Self::Message(message(publish)),
            Packet::PubAck(ack) => Self::Ack(AckType::PubAck, ack.packet_id, ack.reason.0),
            Packet::PubRec(ack) => Self::Ack(AckType::PubRec, ack.packet_id, ack.reason.0),
            Packet::PubRel(ack) => Self::Ack(AckType::PubRel, ack.packet_id, ack.reason.0),
            Packet::PubComp(ack) => Self::Ack(AckType::PubComp, ack.packet_id, ack.reason.0),
            Packet::SubAck(ack) => Self::SubAck(ack.packet_id, codes(&ack.reasons)),
            Packet::UnsubAck(ack) => Self::UnsubAck(ack.packet_id, codes(&ack.reasons)),
            Packet::PingResp => Self::Pong,
            Packet::Disconnect(packet) => Self::Disconnect(packet.reason.0),
            other => panic!("a service does not send {other:?}"),
        })
    }
}

pub(super) fn as_message(event: &Event) -> Option<Message> {
    match event {
        Event::Message(message) => Some(message.clone()),
        _ => None,
    }
}

fn message(publish: &Publish<'_>) -> Message {
    let properties = &publish.properties;
    Message {
        topic: publish.topic.to_owned(),
        payload: publish.payload.to_vec(),
        qos: publish.qos,
        retain: publish.retain,
        dup: publish.dup,
        id: publish.packet_id,
        subscription_ids: publish.subscription_ids.clone(),
        expiry: properties.expiry,
        content_type: properties.content_type.map(str::to_owned),
        response_topic: properties.response_topic.map(str::to_owned),
        correlation_data: properties.correlation_data.map(<[u8]>::to_vec),
        user: properties
            .user_properties
            .iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
    }
}

/// A message to be published.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// QoS.
    pub qos: QoS,
    /// Retain.
    pub retain: bool,
    /// MQTT 5: Message Expiry Interval.
    pub expiry: Option<u32>,
    /// MQTT 5: content type.
    pub content_type: Option<String>,
    /// MQTT 5: response topic.
    pub response_topic: Option<String>,
    /// MQTT 5: correlation data.
    pub correlation_data: Option<Vec<u8>>,
    /// MQTT 5: user properties.
    pub user: Vec<(String, String)>,
}

impl Outgoing {
    /// A QoS 1 message.
    #[must_use]
    pub fn new(topic: &str, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            topic: topic.to_owned(),
            payload: payload.into(),
            qos: QoS::AtLeastOnce,
            ..Self::default()
        }
    }

    /// With another QoS.
    #[must_use]
    pub fn qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    /// Retained.
    #[must_use]
    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    pub(crate) fn user_properties(&self) -> UserPropertiesBuf {
        let pairs = self
            .user
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        UserPropertiesBuf::from_pairs(pairs).expect("user properties")
    }

    pub(crate) fn packet<'a>(
        &'a self,
        id: u16,
        dup: bool,
        user: &'a UserPropertiesBuf,
    ) -> Packet<'a> {
        Packet::Publish(Publish {
            dup,
            qos: self.qos,
            retain: self.retain,
            topic: &self.topic,
            packet_id: id,
            topic_alias: None,
            subscription_ids: Vec::new(),
            properties: MessageProperties {
                payload_format: None,
                expiry: self.expiry,
                content_type: self.content_type.as_deref(),
                response_topic: self.response_topic.as_deref(),
                correlation_data: self.correlation_data.as_deref(),
                user_properties: user.as_user_properties(),
            },
            payload: &self.payload,
        })
    }
}

/// One filter of a SUBSCRIBE.
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    /// The filter.
    pub filter: &'a str,
    /// Its options.
    pub options: SubscriptionOptions,
}

impl<'a> Filter<'a> {
    /// A filter with a QoS and no other option.
    #[must_use]
    pub fn new(filter: &'a str, qos: QoS) -> Self {
        let retain_handling = RetainHandling::Send;
        let options = SubscriptionOptions {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling,
        };
        Self { filter, options }
    }
}

pub(crate) fn subscribe<'a>(
    packet_id: u16,
    subscription_id: Option<u32>,
    filters: &[Filter<'a>],
) -> Packet<'a> {
    let filters = filters
        .iter()
        .map(|f| SubscribeFilter {
            filter: f.filter,
            options: f.options,
        })
        .collect();
    Packet::Subscribe(Subscribe {
        packet_id,
        subscription_id,
        user_properties: UserProperties::default(),
        filters,
    })
}

pub(super) fn unsubscribe(packet_id: u16, filter: &str) -> Packet<'_> {
    Packet::Unsubscribe(Unsubscribe {
        packet_id,
        user_properties: UserProperties::default(),
        filters: vec![filter],
    })
}
