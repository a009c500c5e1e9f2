//! Control Packets as borrowed views: what a decoder yields and an encoder takes.

mod header;

use crate::property::UserProperties;
use crate::reason::ReasonCode;
pub use header::{AckType, PacketType, QoS, Version};

/// Any Control Packet, of either direction.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet<'a> {
    /// CONNECT
    Connect(Connect<'a>),
    /// CONNACK
    ConnAck(ConnAck<'a>),
    /// PUBLISH
    Publish(Publish<'a>),
    /// PUBACK
    PubAck(Ack<'a>),
    /// PUBREC
    PubRec(Ack<'a>),
    /// PUBREL
    PubRel(Ack<'a>),
    /// PUBCOMP
    PubComp(Ack<'a>),
    /// SUBSCRIBE
    Subscribe(Subscribe<'a>),
    /// SUBACK
    SubAck(SubAck<'a>),
    /// UNSUBSCRIBE
    Unsubscribe(Unsubscribe<'a>),
    /// UNSUBACK. In MQTT 3.x the reasons are empty.
    UnsubAck(SubAck<'a>),
    /// PINGREQ
    PingReq,
    /// PINGRESP
    PingResp,
    /// DISCONNECT
    Disconnect(Disconnect<'a>),
    /// AUTH
    Auth(Auth<'a>),
}

impl Packet<'_> {
    /// The packet's type.
    #[must_use]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }
}

/// CONNECT. In 3.x only what those versions know is set; the rest has the value that MQTT 5
/// gives to an absent property.
#[derive(Clone, Debug, PartialEq)]
pub struct Connect<'a> {
    /// From protocol name and level.
    pub version: Version,
    /// The bridge bit (0x80 in the protocol level of 3.x, mosquitto's habit) was set.
    pub bridge: bool,
    /// Clean Start; in 3.x Clean Session.
    pub clean_start: bool,
    /// Keep Alive in seconds; 0 is none.
    pub keep_alive: u16,
    /// Client Identifier; may be empty, in every version and with either `clean_start`.
    pub client_id: &'a str,
    /// User Name.
    pub username: Option<&'a str>,
    /// Password.
    pub password: Option<&'a [u8]>,
    /// The Will Message.
    pub will: Option<Will<'a>>,
    /// Session Expiry Interval in seconds; for 3.x `None`.
    pub session_expiry: Option<u32>,
    /// Receive Maximum, never 0.
    pub receive_maximum: Option<u16>,
    /// Maximum Packet Size, never 0.
    pub maximum_packet_size: Option<u32>,
    /// Topic Alias Maximum; 0 where absent.
    pub topic_alias_maximum: u16,
    /// Request Response Information; false where absent.
    pub request_response_information: bool,
    /// Request Problem Information; true where absent.
    pub request_problem_information: bool,
    /// User Properties of the CONNECT itself.
    pub user_properties: UserProperties<'a>,
    /// Authentication Method.
    pub authentication_method: Option<&'a str>,
    /// Authentication Data, only with a method.
    pub authentication_data: Option<&'a [u8]>,
}

/// The Will of a CONNECT. Its topic is a valid Topic Name.
#[derive(Clone, Debug, PartialEq)]
pub struct Will<'a> {
    /// Will Topic.
    pub topic: &'a str,
    /// Will Payload.
    pub payload: &'a [u8],
    /// Will QoS.
    pub qos: QoS,
    /// Will Retain.
    pub retain: bool,
    /// Will Delay Interval in seconds.
    pub delay: u32,
    /// The properties that the Will is published with.
    pub properties: MessageProperties<'a>,
}

/// The properties of an Application Message (PUBLISH or Will).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MessageProperties<'a> {
    /// Payload Format Indicator, 0 or 1.
    pub payload_format: Option<u8>,
    /// Message Expiry Interval in seconds.
    pub expiry: Option<u32>,
    /// Content Type.
    pub content_type: Option<&'a str>,
    /// Response Topic, a valid Topic Name.
    pub response_topic: Option<&'a str>,
    /// Correlation Data.
    pub correlation_data: Option<&'a [u8]>,
    /// User Properties in order.
    pub user_properties: UserProperties<'a>,
}

/// PUBLISH.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish<'a> {
    /// DUP; false for QoS 0.
    pub dup: bool,
    /// QoS.
    pub qos: QoS,
    /// RETAIN.
    pub retain: bool,
    /// Topic Name, empty only with a `topic_alias`.
    pub topic: &'a str,
    /// Packet Identifier, 0 exactly for QoS 0.
    pub packet_id: u16,
    /// Topic Alias, never 0.
    pub topic_alias: Option<u16>,
    /// Subscription Identifiers. Only towards a client; a server refuses a PUBLISH that has one.
    pub subscription_ids: Vec<u32>,
    /// The message's own properties.
    pub properties: MessageProperties<'a>,
    /// Payload.
    pub payload: &'a [u8],
}

/// PUBACK, PUBREC, PUBREL, PUBCOMP.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ack<'a> {
    /// Packet Identifier, never 0.
    pub packet_id: u16,
    /// Reason Code; in 3.x success.
    pub reason: ReasonCode,
    /// Reason String.
    pub reason_string: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
}

/// SUBSCRIBE. At least one filter; each is a string, its legality is left to the caller
/// ([`crate::topic::validate_filter`]), since an illegal one can be refused by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe<'a> {
    /// Packet Identifier, never 0.
    pub packet_id: u16,
    /// Subscription Identifier, never 0.
    pub subscription_id: Option<u32>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
    /// The filters in order.
    pub filters: Vec<SubscribeFilter<'a>>,
}

/// One Topic Filter of a SUBSCRIBE with its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeFilter<'a> {
    /// Topic Filter, not yet validated.
    pub filter: &'a str,
    /// Its options.
    pub options: SubscriptionOptions,
}

/// Subscription Options (MQTT 5 section 3.8.3.1); for 3.x only `qos` is meaningful.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionOptions {
    /// Maximum QoS.
    pub qos: QoS,
    /// No Local.
    pub no_local: bool,
    /// Retain As Published.
    pub retain_as_published: bool,
    /// Retain Handling.
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent for a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum RetainHandling {
    /// At every SUBSCRIBE.
    #[default]
    Send = 0,
    /// Only where the subscription did not exist before.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

/// SUBACK and UNSUBACK.
#[derive(Clone, Debug, PartialEq)]
pub struct SubAck<'a> {
    /// Packet Identifier, never 0.
    pub packet_id: u16,
    /// Reason String.
    pub reason_string: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
    /// One a filter, in the order of the request; in 3.x SUBACKs the raw return codes (0x80 is failure).
    pub reasons: Vec<ReasonCode>,
}

/// UNSUBSCRIBE. At least one filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsubscribe<'a> {
    /// Packet Identifier, never 0.
    pub packet_id: u16,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
    /// The filters in order, not yet validated.
    pub filters: Vec<&'a str>,
}

/// CONNACK. For 3.x `reason` is encoded as the version's return code.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnAck<'a> {
    /// Session Present; false in 3.1 and with a refusal.
    pub session_present: bool,
    /// Reason Code; a 3.x return code is decoded as the MQTT 5 code of the same meaning.
    pub reason: ReasonCode,
    /// Session Expiry Interval in seconds.
    pub session_expiry: Option<u32>,
    /// Receive Maximum, never 0.
    pub receive_maximum: Option<u16>,
    /// Maximum QoS, 0 or 1; QoS 2 is encoded as absence.
    pub maximum_qos: Option<QoS>,
    /// Retain Available.
    pub retain_available: Option<bool>,
    /// Maximum Packet Size, never 0.
    pub maximum_packet_size: Option<u32>,
    /// Assigned Client Identifier.
    pub assigned_client_id: Option<&'a str>,
    /// Topic Alias Maximum.
    pub topic_alias_maximum: Option<u16>,
    /// Reason String.
    pub reason_string: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
    /// Wildcard Subscription Available.
    pub wildcard_available: Option<bool>,
    /// Subscription Identifiers Available.
    pub subscription_ids_available: Option<bool>,
    /// Shared Subscription Available.
    pub shared_available: Option<bool>,
    /// Server Keep Alive in seconds.
    pub server_keep_alive: Option<u16>,
    /// Response Information.
    pub response_information: Option<&'a str>,
    /// Server Reference.
    pub server_reference: Option<&'a str>,
    /// Authentication Method.
    pub authentication_method: Option<&'a str>,
    /// Authentication Data, only with a method.
    pub authentication_data: Option<&'a [u8]>,
}

/// DISCONNECT. In 3.x only the normal reason exists and nothing else is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Disconnect<'a> {
    /// Reason Code.
    pub reason: ReasonCode,
    /// Session Expiry Interval in seconds; only towards a server.
    pub session_expiry: Option<u32>,
    /// Reason String.
    pub reason_string: Option<&'a str>,
    /// Server Reference; only towards a client.
    pub server_reference: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
}

/// AUTH (MQTT 5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Auth<'a> {
    /// Reason Code: success, continue or re-authenticate.
    pub reason: ReasonCode,
    /// Authentication Method; `None` only in a success without any property.
    pub authentication_method: Option<&'a str>,
    /// Authentication Data.
    pub authentication_data: Option<&'a [u8]>,
    /// Reason String.
    pub reason_string: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
}
