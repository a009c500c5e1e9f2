//! Every way in which a packet can be wrong, and the Reason Code that says so.

use crate::reason::ReasonCode;

/// Why bytes are not a legal packet. Statement numbers are those of MQTT 5 unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Section 2.1.2: type 0, and type 15 (AUTH) before MQTT 5.
    #[error("Control Packet type {0} is reserved")]
    ReservedPacketType(u8),
    /// [MQTT-2.1.3-1]
    #[error("illegal fixed header flags in first byte {0:#04x}")]
    FixedHeaderFlags(u8),
    /// [MQTT-3.3.1-4]
    #[error("PUBLISH with QoS 3")]
    PublishQos,
    /// [MQTT-3.3.1-2]
    #[error("PUBLISH with DUP and QoS 0")]
    DupWithQos0,
    /// Section 2.1.4: the Remaining Length has at most four bytes.
    #[error("Remaining Length of more than four bytes")]
    RemainingLength,
    /// [MQTT-3.1.2-24], [MQTT-3.2.2-15]
    #[error("packet of {size} bytes, more than {maximum}")]
    PacketTooLarge {
        /// Bytes of the packet, fixed header included.
        size: usize,
        /// The most that is accepted.
        maximum: usize,
    },
    /// Section 1.2 (Malformed Packet): a field extends beyond the packet or its property section.
    #[error("packet ends within a field")]
    Truncated,
    /// Section 1.2 (Malformed Packet): bytes after the last field.
    #[error("bytes after the packet's last field")]
    TrailingBytes,
    /// [MQTT-1.5.4-1]
    #[error("string is not UTF-8")]
    InvalidUtf8,
    /// [MQTT-1.5.4-2]
    #[error("string holds the null character")]
    NullCharacter,
    /// Section 1.5.5: a Variable Byte Integer has at most four bytes.
    #[error("Variable Byte Integer of more than four bytes")]
    VariableByteInteger,
    /// [MQTT-1.5.5-1]
    #[error("Variable Byte Integer in more bytes than it needs")]
    NonMinimalInteger,
    /// [MQTT-3.1.2-1]: neither `MQTT` nor `MQIsdp`.
    #[error("unknown protocol name")]
    ProtocolName,
    /// [MQTT-3.1.2-2]: the protocol name is known and has no such level.
    #[error("unsupported protocol level {0:#04x}")]
    UnsupportedProtocolVersion(u8),
    /// [MQTT-3.1.2-3]
    #[error("reserved bit of the Connect Flags is set")]
    ConnectFlagsReserved,
    /// [MQTT-3.1.2-12]
    #[error("Will QoS 3")]
    WillQos,
    /// [MQTT-3.1.2-11], [MQTT-3.1.2-13]
    #[error("Will QoS or Will Retain without Will Flag")]
    WillFlags,
    /// [MQTT-3.1.2-22] of MQTT 3.1.1.
    #[error("Password without User Name")]
    PasswordWithoutUserName,
    /// [MQTT-2.2.1-3], [MQTT-2.2.1-4]
    #[error("Packet Identifier 0")]
    PacketIdZero,
    /// [MQTT-4.7.3-1], section 3.3.2.1
    #[error("empty Topic Name without Topic Alias")]
    EmptyTopic,
    /// [MQTT-3.3.2-2]
    #[error("wildcard in a Topic Name")]
    TopicName,
    /// Section 3.1.3.3: the Will Topic is a Topic Name.
    #[error("Will Topic is not a Topic Name")]
    WillTopic,
    /// [MQTT-3.3.2-14]
    #[error("Response Topic is not a Topic Name")]
    ResponseTopic,
    /// [MQTT-3.8.3-2], [MQTT-3.10.3-2]
    #[error("no Topic Filter")]
    NoTopicFilters,
    /// [MQTT-3.8.4-6], [MQTT-3.11.3-2]: one code a filter, and there is at least one filter.
    #[error("no Reason Code")]
    NoReasonCodes,
    /// [MQTT-3.8.3-5]
    #[error("reserved bit of the Subscription Options is set")]
    SubscriptionOptionsReserved,
    /// Section 3.8.3.1: Maximum QoS is not 3.
    #[error("subscription with QoS 3")]
    SubscriptionQos,
    /// Section 3.8.3.1: Retain Handling is not 3.
    #[error("Retain Handling 3")]
    RetainHandling,
    /// Section 2.2.2.2
    #[error("unknown property {0:#04x}")]
    UnknownProperty(u32),
    /// Section 2.2.2.2, table 2-4
    #[error("property {0:#04x} does not belong in this packet")]
    PropertyNotAllowed(u8),
    /// Said at each property, such as section 3.3.2.3.2
    #[error("property {0:#04x} more than once")]
    DuplicateProperty(u8),
    /// Said at each property, such as section 3.1.2.11.3
    #[error("illegal value of property {0:#04x}")]
    PropertyValue(u8),
    /// [MQTT-3.3.2-8]
    #[error("Topic Alias 0")]
    TopicAliasZero,
    /// [MQTT-3.2.2-8] and its like: not a Reason Code of this packet.
    #[error("Reason Code {0} does not belong in this packet")]
    ReasonCode(ReasonCode),
    /// [MQTT-3.2.2-1]
    #[error("reserved bit of the Connect Acknowledge Flags is set")]
    ConnAckFlags,
    /// [MQTT-3.2.2-6]
    #[error("Session Present with a refusal")]
    SessionPresentWithRefusal,
    /// Section 3.1.2.11.10
    #[error("Authentication Data without Authentication Method")]
    AuthenticationDataWithoutMethod,
    /// Section 3.15.2.2.2
    #[error("AUTH without Authentication Method")]
    AuthenticationMethodMissing,
}

impl DecodeError {
    /// What a CONNACK or DISCONNECT says about it.
    #[must_use]
    pub const fn reason_code(&self) -> ReasonCode {
        match self {
            Self::ReservedPacketType(_)
            | Self::FixedHeaderFlags(_)
            | Self::PublishQos
            | Self::DupWithQos0
            | Self::RemainingLength
            | Self::Truncated
            | Self::TrailingBytes
            | Self::InvalidUtf8
            | Self::NullCharacter
            | Self::VariableByteInteger
            | Self::NonMinimalInteger
            | Self::ConnectFlagsReserved
            | Self::WillQos
            | Self::WillFlags
            | Self::SubscriptionOptionsReserved
            | Self::UnknownProperty(_)
            | Self::PropertyNotAllowed(_)
            | Self::ConnAckFlags => ReasonCode::MALFORMED_PACKET,
            Self::PasswordWithoutUserName
            | Self::PacketIdZero
            | Self::EmptyTopic
            | Self::ResponseTopic
            | Self::NoTopicFilters
            | Self::NoReasonCodes
            | Self::SubscriptionQos
            | Self::RetainHandling
            | Self::DuplicateProperty(_)
            | Self::PropertyValue(_)
            | Self::ReasonCode(_)
            | Self::SessionPresentWithRefusal
            | Self::AuthenticationDataWithoutMethod
            | Self::AuthenticationMethodMissing => ReasonCode::PROTOCOL_ERROR,
            Self::ProtocolName | Self::UnsupportedProtocolVersion(_) => {
                ReasonCode::UNSUPPORTED_PROTOCOL_VERSION
            }
            Self::PacketTooLarge { .. } => ReasonCode::PACKET_TOO_LARGE,
            Self::TopicName | Self::WillTopic => ReasonCode::TOPIC_NAME_INVALID,
            Self::TopicAliasZero => ReasonCode::TOPIC_ALIAS_INVALID,
        }
    }
}
