//! SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK, sections 3.8 to 3.11.

use super::EncodeError;
use super::property;
use super::write::{framed, put_string, put_varint};
use crate::packet::{SubAck, Subscribe, SubscriptionOptions, Unsubscribe, Version};
use crate::property::read::id;

pub(super) fn subscribe(
    out: &mut Vec<u8>,
    version: Version,
    packet: &Subscribe<'_>,
) -> Result<(), EncodeError> {
    framed(out, 0x82, |out| {
        out.extend_from_slice(&packet.packet_id.to_be_bytes());
        if version == Version::V5 {
            property::section(out, |out| {
                if let Some(value) = packet.subscription_id {
                    put_subscription_id(out, value)?;
                }
                property::user(out, &packet.user_properties)
            })?;
        }
        for subscription in &packet.filters {
            put_string(out, subscription.filter)?;
            out.push(options(subscription.options, version));
        }
        Ok(())
    })
}

fn options(options: SubscriptionOptions, version: Version) -> u8 {
    let qos = options.qos as u8;
    if version != Version::V5 {
        return qos;
    }
    qos | u8::from(options.no_local) << 2
        | u8::from(options.retain_as_published) << 3
        | (options.retain_handling as u8) << 4
}

/// A Subscription Identifier as a property.
pub(super) fn put_subscription_id(out: &mut Vec<u8>, value: u32) -> Result<(), EncodeError> {
    out.push(id::SUBSCRIPTION_ID);
    put_varint(out, value).ok_or(EncodeError::SubscriptionId(value))
}

pub(super) fn suback(
    out: &mut Vec<u8>,
    version: Version,
    packet: &SubAck<'_>,
) -> Result<(), EncodeError> {
    framed(out, 0x90, |out| {
        acknowledged(out, version, packet)?;
        out.extend(packet.reasons.iter().map(|reason| match version {
            Version::V31 | Version::V311 if reason.is_error() => 0x80,
            _ => reason.0,
        }));
        Ok(())
    })
}

pub(super) fn unsubscribe(
    out: &mut Vec<u8>,
    version: Version,
    packet: &Unsubscribe<'_>,
) -> Result<(), EncodeError> {
    framed(out, 0xA2, |out| {
        out.extend_from_slice(&packet.packet_id.to_be_bytes());
        if version == Version::V5 {
            property::section(out, |out| property::user(out, &packet.user_properties))?;
        }
        for filter in &packet.filters {
            put_string(out, filter)?;
        }
        Ok(())
    })
}

pub(super) fn unsuback(
    out: &mut Vec<u8>,
    version: Version,
    packet: &SubAck<'_>,
) -> Result<(), EncodeError> {
    framed(out, 0xB0, |out| {
        acknowledged(out, version, packet)?;
        if version == Version::V5 {
            out.extend(packet.reasons.iter().map(|reason| reason.0));
        }
        Ok(())
    })
}

/// What stands before the codes of a SUBACK or UNSUBACK.
fn acknowledged(
    out: &mut Vec<u8>,
    version: Version,
    packet: &SubAck<'_>,
) -> Result<(), EncodeError> {
    out.extend_from_slice(&packet.packet_id.to_be_bytes());
    if version != Version::V5 {
        return Ok(());
    }
    property::section(out, |out| {
        property::string(out, id::REASON_STRING, packet.reason_string)?;
        property::user(out, &packet.user_properties)
    })
}
