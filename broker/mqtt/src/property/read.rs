//! Reads a property section: every property with its type, its legal values, and how often it may
//! occur. Which packet may hold which is decided where the packet is decoded.

use super::UserProperties;
use crate::decode::DecodeError;
use crate::decode::reader::Reader;
use crate::packet::QoS;
use crate::topic::validate_name;

/// Property identifiers, table 2-4.
pub(crate) mod id {
    pub(crate) const PAYLOAD_FORMAT: u8 = 0x01;
    pub(crate) const MESSAGE_EXPIRY: u8 = 0x02;
    pub(crate) const CONTENT_TYPE: u8 = 0x03;
    pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
    pub(crate) const CORRELATION_DATA: u8 = 0x09;
    pub(crate) const SUBSCRIPTION_ID: u8 = 0x0B;
    pub(crate) const SESSION_EXPIRY: u8 = 0x11;
    pub(crate) const ASSIGNED_CLIENT_ID: u8 = 0x12;
    pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
    pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
    pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub(crate) const WILL_DELAY: u8 = 0x18;
    pub(crate) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub(crate) const RESPONSE_INFORMATION: u8 = 0x1A;
    pub(crate) const SERVER_REFERENCE: u8 = 0x1C;
    pub(crate) const REASON_STRING: u8 = 0x1F;
    pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub(crate) const TOPIC_ALIAS: u8 = 0x23;
    pub(crate) const MAXIMUM_QOS: u8 = 0x24;
    pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
    pub(crate) const USER_PROPERTY: u8 = 0x26;
    pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub(crate) const WILDCARD_AVAILABLE: u8 = 0x28;
    pub(crate) const SUBSCRIPTION_IDS_AVAILABLE: u8 = 0x29;
    pub(crate) const SHARED_AVAILABLE: u8 = 0x2A;
}

/// One property, its value legal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Property<'a> {
    PayloadFormat(u8),
    MessageExpiry(u32),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    SubscriptionId(u32),
    SessionExpiry(u32),
    AssignedClientId(&'a str),
    ServerKeepAlive(u16),
    AuthenticationMethod(&'a str),
    AuthenticationData(&'a [u8]),
    RequestProblemInformation(bool),
    WillDelay(u32),
    RequestResponseInformation(bool),
    ResponseInformation(&'a str),
    ServerReference(&'a str),
    ReasonString(&'a str),
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(u16),
    MaximumQos(QoS),
    RetainAvailable(bool),
    User(&'a str, &'a str),
    MaximumPacketSize(u32),
    WildcardAvailable(bool),
    SubscriptionIdsAvailable(bool),
    SharedAvailable(bool),
}

impl<'a> Property<'a> {
    pub(crate) fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let identifier = from.varint()?;
        let unknown = DecodeError::UnknownProperty(identifier);
        let id = u8::try_from(identifier).map_err(|_| unknown)?;
        Ok(match id {
            id::PAYLOAD_FORMAT => Self::PayloadFormat(u8::from(boolean(from, id)?)),
            id::MESSAGE_EXPIRY => Self::MessageExpiry(from.u32()?),
            id::CONTENT_TYPE => Self::ContentType(from.string()?),
            id::RESPONSE_TOPIC => {
                let topic = from.string()?;
                validate_name(topic).map_err(|_| DecodeError::ResponseTopic)?;
                Self::ResponseTopic(topic)
            }
            id::CORRELATION_DATA => Self::CorrelationData(from.binary()?),
            id::SUBSCRIPTION_ID => Self::SubscriptionId(not_zero(from.varint()?, id)?),
            id::SESSION_EXPIRY => Self::SessionExpiry(from.u32()?),
            id::ASSIGNED_CLIENT_ID => Self::AssignedClientId(from.string()?),
            id::SERVER_KEEP_ALIVE => Self::ServerKeepAlive(from.u16()?),
            id::AUTHENTICATION_METHOD => Self::AuthenticationMethod(from.string()?),
            id::AUTHENTICATION_DATA => Self::AuthenticationData(from.binary()?),
            id::REQUEST_PROBLEM_INFORMATION => Self::RequestProblemInformation(boolean(from, id)?),
            id::WILL_DELAY => Self::WillDelay(from.u32()?),
            id::REQUEST_RESPONSE_INFORMATION => {
                Self::RequestResponseInformation(boolean(from, id)?)
            }
            id::RESPONSE_INFORMATION => Self::ResponseInformation(from.string()?),
            id::SERVER_REFERENCE => Self::ServerReference(from.string()?),
            id::REASON_STRING => Self::ReasonString(from.string()?),
            id::RECEIVE_MAXIMUM => Self::ReceiveMaximum(not_zero(from.u16()?, id)?),
            id::TOPIC_ALIAS_MAXIMUM => Self::TopicAliasMaximum(from.u16()?),
            id::TOPIC_ALIAS => match from.u16()? {
                0 => return Err(DecodeError::TopicAliasZero),
                alias => Self::TopicAlias(alias),
            },
            id::MAXIMUM_QOS if boolean(from, id)? => Self::MaximumQos(QoS::AtLeastOnce),
            id::MAXIMUM_QOS => Self::MaximumQos(QoS::AtMostOnce),
            id::RETAIN_AVAILABLE => Self::RetainAvailable(boolean(from, id)?),
            id::USER_PROPERTY => Self::User(from.string()?, from.string()?),
            id::MAXIMUM_PACKET_SIZE => Self::MaximumPacketSize(not_zero(from.u32()?, id)?),
            id::WILDCARD_AVAILABLE => Self::WildcardAvailable(boolean(from, id)?),
            id::SUBSCRIPTION_IDS_AVAILABLE => Self::SubscriptionIdsAvailable(boolean(from, id)?),
            id::SHARED_AVAILABLE => Self::SharedAvailable(boolean(from, id)?),
            _ => return Err(unknown),
        })
    }

    /// The error for a packet that cannot hold this property.
    pub(crate) const fn not_allowed(&self) -> DecodeError {
        DecodeError::PropertyNotAllowed(self.id())
    }

    const fn id(&self) -> u8 {
        match self {
            Self::PayloadFormat(_) => id::PAYLOAD_FORMAT,
            Self::MessageExpiry(_) => id::MESSAGE_EXPIRY,
            Self::ContentType(_) => id::CONTENT_TYPE,
            Self::ResponseTopic(_) => id::RESPONSE_TOPIC,
            Self::CorrelationData(_) => id::CORRELATION_DATA,
            Self::SubscriptionId(_) => id::SUBSCRIPTION_ID,
            Self::SessionExpiry(_) => id::SESSION_EXPIRY,
            Self::AssignedClientId(_) => id::ASSIGNED_CLIENT_ID,
            Self::ServerKeepAlive(_) => id::SERVER_KEEP_ALIVE,
            Self::AuthenticationMethod(_) => id::AUTHENTICATION_METHOD,
            Self::AuthenticationData(_) => id::AUTHENTICATION_DATA,
            Self::RequestProblemInformation(_) => id::REQUEST_PROBLEM_INFORMATION,
            Self::WillDelay(_) => id::WILL_DELAY,
            Self::RequestResponseInformation(_) => id::REQUEST_RESPONSE_INFORMATION,
            Self::ResponseInformation(_) => id::RESPONSE_INFORMATION,
            Self::ServerReference(_) => id::SERVER_REFERENCE,
            Self::ReasonString(_) => id::REASON_STRING,
            Self::ReceiveMaximum(_) => id::RECEIVE_MAXIMUM,
            Self::TopicAliasMaximum(_) => id::TOPIC_ALIAS_MAXIMUM,
            Self::TopicAlias(_) => id::TOPIC_ALIAS,
            Self::MaximumQos(_) => id::MAXIMUM_QOS,
            Self::RetainAvailable(_) => id::RETAIN_AVAILABLE,
            Self::User(..) => id::USER_PROPERTY,
            Self::MaximumPacketSize(_) => id::MAXIMUM_PACKET_SIZE,
            Self::WildcardAvailable(_) => id::WILDCARD_AVAILABLE,
            Self::SubscriptionIdsAvailable(_) => id::SUBSCRIPTION_IDS_AVAILABLE,
            Self::SharedAvailable(_) => id::SHARED_AVAILABLE,
        }
    }
}

fn boolean(from: &mut Reader<'_>, id: u8) -> Result<bool, DecodeError> {
    match from.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::PropertyValue(id)),
    }
}

fn not_zero<T: Default + PartialEq>(value: T, id: u8) -> Result<T, DecodeError> {
    if value == T::default() {
        return Err(DecodeError::PropertyValue(id));
    }
    Ok(value)
}

/// The properties of one section, each at most once but User Properties and Subscription
/// Identifiers.
#[derive(Debug)]
pub(crate) struct Properties<'a> {
    section: &'a [u8],
    rest: Reader<'a>,
    /// A bit for every identifier that occurred; the identifiers are below 64.
    seen: u64,
    user: UserSpan,
}

/// Where in a section the User Properties stand.
#[derive(Debug, Default)]
struct UserSpan {
    start: usize,
    end: usize,
    mixed: bool,
}

impl<'a> Properties<'a> {
    /// The section at the head of `from`, with its length.
    pub(crate) fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let len = from.varint()?;
        let len = usize::try_from(len).map_err(|_| DecodeError::Truncated)?;
        Ok(Self::of_section(from.bytes(len)?))
    }

    /// A section without its length.
    pub(crate) fn of_section(section: &'a [u8]) -> Self {
        Self {
            section,
            rest: Reader::new(section),
            seen: 0,
            user: UserSpan::default(),
        }
    }

    pub(crate) fn next(&mut self) -> Result<Option<Property<'a>>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let start = self.position();
        let property = Property::read(&mut self.rest)?;
        match property {
            Property::User(..) => self.extend_user(start),
            Property::SubscriptionId(_) => {}
            _ => {
                let bit = 1 << property.id();
                if self.seen & bit != 0 {
                    return Err(DecodeError::DuplicateProperty(property.id()));
                }
                self.seen |= bit;
            }
        }
        Ok(Some(property))
    }

    /// The User Properties among those that [`Self::next`] yielded.
    pub(crate) fn user_properties(&self) -> UserProperties<'a> {
        UserProperties {
            span: self
                .section
                .get(self.user.start..self.user.end)
                .unwrap_or_default(),
            mixed: self.user.mixed,
        }
    }

    fn extend_user(&mut self, start: usize) {
        if self.user.end == 0 {
            self.user.start = start;
        } else if self.user.end != start {
            self.user.mixed = true;
        }
        self.user.end = self.position();
    }

    fn position(&self) -> usize {
        self.section.len() - self.rest.len()
    }
}
