//! Writes properties, each only where it has a value.

use super::UserProperties;
use super::read::id;
use crate::encode::EncodeError;
use crate::encode::write::{prefix_length, put_binary, put_string};
use crate::packet::MessageProperties;

/// A property section: what `body` writes, with its length in front.
pub(crate) fn section(
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    body(out)?;
    prefix_length(out, start)
}

pub(crate) fn byte(out: &mut Vec<u8>, id: u8, value: Option<u8>) {
    if let Some(value) = value {
        out.extend_from_slice(&[id, value]);
    }
}

pub(crate) fn boolean(out: &mut Vec<u8>, id: u8, value: Option<bool>) {
    byte(out, id, value.map(u8::from));
}

pub(crate) fn two(out: &mut Vec<u8>, id: u8, value: Option<u16>) {
    if let Some(value) = value {
        out.push(id);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub(crate) fn four(out: &mut Vec<u8>, id: u8, value: Option<u32>) {
    if let Some(value) = value {
        out.push(id);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub(crate) fn string(out: &mut Vec<u8>, id: u8, value: Option<&str>) -> Result<(), EncodeError> {
    value.map_or(Ok(()), |value| {
        out.push(id);
        put_string(out, value)
    })
}

pub(crate) fn binary(out: &mut Vec<u8>, id: u8, value: Option<&[u8]>) -> Result<(), EncodeError> {
    value.map_or(Ok(()), |value| {
        out.push(id);
        put_binary(out, value)
    })
}

pub(crate) fn user(out: &mut Vec<u8>, properties: &UserProperties<'_>) -> Result<(), EncodeError> {
    if !properties.mixed {
        out.extend_from_slice(properties.span);
        return Ok(());
    }
    for (name, value) in properties {
        out.push(id::USER_PROPERTY);
        put_string(out, name)?;
        put_string(out, value)?;
    }
    Ok(())
}

/// What a server forwards unaltered.
pub(crate) fn forwarded(
    out: &mut Vec<u8>,
    properties: &MessageProperties<'_>,
) -> Result<(), EncodeError> {
    byte(out, id::PAYLOAD_FORMAT, properties.payload_format);
    string(out, id::CONTENT_TYPE, properties.content_type)?;
    string(out, id::RESPONSE_TOPIC, properties.response_topic)?;
    binary(out, id::CORRELATION_DATA, properties.correlation_data)?;
    user(out, &properties.user_properties)
}
