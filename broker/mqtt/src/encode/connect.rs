//! CONNECT, section 3.1.

use super::EncodeError;
use super::property;
use super::write::{framed, put_binary, put_string};
use crate::packet::{Connect, Version, Will};
use crate::property::read::id;

pub(super) fn connect(out: &mut Vec<u8>, packet: &Connect<'_>) -> Result<(), EncodeError> {
    framed(out, 0x10, |out| {
        let name = match packet.version {
            Version::V31 => "MQIsdp",
            Version::V311 | Version::V5 => "MQTT",
        };
        put_string(out, name)?;
        out.push(packet.version as u8 | u8::from(packet.bridge) << 7);
        out.push(flags(packet));
        out.extend_from_slice(&packet.keep_alive.to_be_bytes());
        if packet.version == Version::V5 {
            property::section(out, |out| properties(out, packet))?;
        }
        put_string(out, packet.client_id)?;
        if let Some(will) = &packet.will {
            put_will(out, packet.version, will)?;
        }
        if let Some(username) = packet.username {
            put_string(out, username)?;
        }
        if let Some(password) = packet.password {
            put_binary(out, password)?;
        }
        Ok(())
    })
}

fn flags(packet: &Connect<'_>) -> u8 {
    let will = packet.will.as_ref().map_or(0, |will| {
        0x04 | (will.qos as u8) << 3 | u8::from(will.retain) << 5
    });
    will | u8::from(packet.clean_start) << 1
        | u8::from(packet.password.is_some()) << 6
        | u8::from(packet.username.is_some()) << 7
}

fn properties(out: &mut Vec<u8>, packet: &Connect<'_>) -> Result<(), EncodeError> {
    let alias_maximum = Some(packet.topic_alias_maximum).filter(|&maximum| maximum != 0);
    let response_information = packet.request_response_information.then_some(true);
    let problem_information = (!packet.request_problem_information).then_some(false);
    property::four(out, id::SESSION_EXPIRY, packet.session_expiry);
    property::two(out, id::RECEIVE_MAXIMUM, packet.receive_maximum);
    property::four(out, id::MAXIMUM_PACKET_SIZE, packet.maximum_packet_size);
    property::two(out, id::TOPIC_ALIAS_MAXIMUM, alias_maximum);
    property::boolean(out, id::REQUEST_RESPONSE_INFORMATION, response_information);
    property::boolean(out, id::REQUEST_PROBLEM_INFORMATION, problem_information);
    property::user(out, &packet.user_properties)?;
    property::string(out, id::AUTHENTICATION_METHOD, packet.authentication_method)?;
    property::binary(out, id::AUTHENTICATION_DATA, packet.authentication_data)
}

fn put_will(out: &mut Vec<u8>, version: Version, will: &Will<'_>) -> Result<(), EncodeError> {
    if version == Version::V5 {
        let delay = Some(will.delay).filter(|&delay| delay != 0);
        property::section(out, |out| {
            property::four(out, id::WILL_DELAY, delay);
            property::four(out, id::MESSAGE_EXPIRY, will.properties.expiry);
            property::forwarded(out, &will.properties)
        })?;
    }
    put_string(out, will.topic)?;
    put_binary(out, will.payload)
}
