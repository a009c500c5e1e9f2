//! Packets as bytes, made by hand.

use crate::{V5, V31};

/// A length and these bytes.
pub(crate) fn string(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&length[..], text].concat()
}

/// A Variable Byte Integer.
pub(crate) fn integer(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value % 128).unwrap();
        value /= 128;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A first byte, the Remaining Length, and the rest.
pub(crate) fn packet(first: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    [&[first][..], &integer(body.len()), body].concat()
}

/// The properties with their length in MQTT 5, nothing before.
pub(crate) fn properties(version: u8, properties: &[u8]) -> Vec<u8> {
    match version {
        V5 => [&integer(properties.len()), properties].concat(),
        _ => Vec::new(),
    }
}

/// User Property
pub(crate) fn user_property(name: &str, value: &str) -> Vec<u8> {
    [vec![0x26], string(name), string(value)].concat()
}

/// A CONNECT with the account that every service of the tests has.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    pub(crate) version: u8,
    pub(crate) id: String,
    pub(crate) clean: bool,
    pub(crate) keep_alive: u16,
    pub(crate) properties: Vec<u8>,
    pub(crate) will: Option<Will>,
    pub(crate) user: Option<&'static str>,
    pub(crate) password: Option<&'static str>,
}

/// A will.
#[derive(Clone, Debug, Default)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) properties: Vec<u8>,
}

impl Connect {
    /// A session that ends with the connection.
    pub(crate) fn new(version: u8, id: &str) -> Self {
        Self {
            version,
            id: id.to_owned(),
            clean: true,
            keep_alive: 0,
            properties: Vec::new(),
            will: None,
            user: Some("device"),
            password: Some("secret"),
        }
    }

    /// A session that is kept and resumed, in MQTT 5 for an hour.
    pub(crate) fn kept(version: u8, id: &str) -> Self {
        let connect = Self {
            clean: false,
            ..Self::new(version, id)
        };
        connect.with(&[0x11, 0, 0, 0x0E, 0x10])
    }

    /// Of a client of its own: a session that is kept, or one that is not.
    pub(crate) fn either(version: u8, kept: bool) -> Self {
        let id = isthmus_tests::unique("c");
        match kept {
            true => Self::kept(version, &id),
            false => Self::new(version, &id),
        }
    }

    /// With MQTT 5 properties; nothing before MQTT 5.
    pub(crate) fn with(mut self, properties: &[u8]) -> Self {
        self.properties.extend(properties);
        self
    }

    /// With a will.
    pub(crate) fn will(mut self, topic: &str, payload: &str, qos: u8, retain: bool) -> Self {
        self.will = Some(Will {
            topic: topic.to_owned(),
            payload: payload.to_owned(),
            qos,
            retain,
            ..Will::default()
        });
        self
    }

    /// What the flags say.
    pub(crate) fn flags(&self) -> u8 {
        let will = |w: &Will| 0x04 | w.qos << 3 | u8::from(w.retain) << 5;
        u8::from(self.clean) << 1
            | self.will.as_ref().map_or(0, will)
            | u8::from(self.password.is_some()) << 6
            | u8::from(self.user.is_some()) << 7
    }

    /// The payload's fields.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut payload = string(&self.id);
        if let Some(will) = &self.will {
            payload.extend(properties(self.version, &will.properties));
            payload.extend(string(&will.topic));
            payload.extend(string(&will.payload));
        }
        for field in [self.user, self.password].into_iter().flatten() {
            payload.extend(string(field));
        }
        payload
    }

    /// The packet.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes_of(self.flags(), &self.payload())
    }

    /// The packet with other flags and another payload.
    pub(crate) fn bytes_of(&self, flags: u8, payload: &[u8]) -> Vec<u8> {
        let name = if self.version == V31 {
            "MQIsdp"
        } else {
            "MQTT"
        };
        connect(name, self.version, flags, |body| {
            body.extend(self.keep_alive.to_be_bytes());
            body.extend(properties(self.version, &self.properties));
            body.extend(payload);
        })
    }
}

/// A CONNECT of this protocol name, level and flags.
pub(crate) fn connect(
    name: &str,
    level: u8,
    flags: u8,
    rest: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let mut body = [string(name), vec![level, flags]].concat();
    rest(&mut body);
    packet(0x10, body)
}

/// A PUBLISH; the identifier counts for QoS > 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct Publish<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) qos: u8,
    pub(crate) id: u16,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    pub(crate) properties: Vec<u8>,
}

impl Publish<'_> {
    /// The packet.
    pub(crate) fn bytes(&self, version: u8) -> Vec<u8> {
        let mut body = string(self.topic);
        if self.qos > 0 {
            body.extend(self.id.to_be_bytes());
        }
        body.extend(properties(version, &self.properties));
        body.extend(self.payload.as_bytes());
        let flags = u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain);
        packet(0x30 | flags, body)
    }
}

/// A PUBLISH with nothing special.
pub(crate) fn publish(version: u8, topic: &str, payload: &str, qos: u8, id: u16) -> Vec<u8> {
    Publish {
        topic,
        payload,
        qos,
        id,
        ..Publish::default()
    }
    .bytes(version)
}

/// A SUBSCRIBE with the options of each filter.
pub(crate) fn subscribe(version: u8, id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    subscribe_with(version, id, &[], filters)
}

/// The same with properties.
pub(crate) fn subscribe_with(version: u8, id: u16, with: &[u8], filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend(properties(version, with));
    for (filter, options) in filters {
        body.extend(string(filter));
        body.push(*options);
    }
    packet(0x82, body)
}

/// An UNSUBSCRIBE.
pub(crate) fn unsubscribe(version: u8, id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend(properties(version, &[]));
    for filter in filters {
        body.extend(string(filter));
    }
    packet(0xA2, body)
}

pub(crate) const PUBACK: u8 = 0x40;
pub(crate) const PUBREC: u8 = 0x50;
pub(crate) const PUBREL: u8 = 0x62;
pub(crate) const PUBCOMP: u8 = 0x70;
pub(crate) const PINGREQ: [u8; 2] = [0xC0, 0];
pub(crate) const DISCONNECT: [u8; 2] = [0xE0, 0];

/// PUBACK, PUBREC, PUBREL or PUBCOMP that says yes.
pub(crate) fn ack(first: u8, id: u16) -> Vec<u8> {
    packet(first, id.to_be_bytes())
}

/// The same with a Reason Code, MQTT 5.
pub(crate) fn ack_with(first: u8, id: u16, reason: u8) -> Vec<u8> {
    packet(first, [&id.to_be_bytes()[..], &[reason]].concat())
}
