//! A packet as it came, taken apart by hand.

use crate::V5;

/// A packet of the server.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) version: u8,
    pub(crate) first: u8,
    pub(crate) body: Vec<u8>,
    /// Bytes of all of it.
    pub(crate) size: usize,
}

impl std::fmt::Debug for Packet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.body.escape_ascii();
        write!(f, "{:#04x} \"{text}\"", self.first)
    }
}

/// A Variable Byte Integer and its length.
pub(crate) fn integer(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for at in 0..4 {
        let byte = *bytes.get(at)?;
        value |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    panic!("a length of five bytes: {bytes:x?}");
}

impl Packet {
    pub(crate) fn kind(&self) -> u8 {
        self.first >> 4
    }

    /// Of a PUBLISH, 0 of others.
    pub(crate) fn qos(&self) -> u8 {
        if self.kind() == 3 {
            self.first >> 1 & 3
        } else {
            0
        }
    }

    pub(crate) fn dup(&self) -> bool {
        self.first & 8 != 0
    }

    pub(crate) fn retain(&self) -> bool {
        self.first & 1 != 0
    }

    fn topic_end(&self) -> usize {
        2 + usize::from(u16::from_be_bytes([self.body[0], self.body[1]]))
    }

    /// Topic of a PUBLISH.
    pub(crate) fn topic(&self) -> &str {
        std::str::from_utf8(&self.body[2..self.topic_end()]).expect("UTF-8")
    }

    /// The packet identifier.
    pub(crate) fn id(&self) -> u16 {
        let at = if self.kind() == 3 {
            self.topic_end()
        } else {
            0
        };
        u16::from_be_bytes([self.body[at], self.body[at + 1]])
    }

    /// Where the properties begin, if this packet has any.
    fn properties_at(&self) -> Option<usize> {
        let at = match self.kind() {
            _ if self.version != V5 => return None,
            2 | 9 | 11 => 2,
            3 => self.topic_end() + if self.qos() > 0 { 2 } else { 0 },
            4..=7 => 3,
            14 => 1,
            _ => return None,
        };
        // CONNACK, SUBACK, UNSUBACK and PUBLISH always have them, the others may end before.
        (at < self.body.len() || matches!(self.kind(), 2 | 3 | 9 | 11)).then_some(at)
    }

    fn properties_range(&self) -> Option<std::ops::Range<usize>> {
        let at = self.properties_at()?;
        let (length, size) = integer(&self.body[at..]).expect("a property length");
        assert!(
            at + size + length <= self.body.len(),
            "{self:?}: properties beyond its end"
        );
        Some(at + size..at + size + length)
    }

    /// The properties in order, each value as it stands.
    pub(crate) fn properties(&self) -> Vec<(u8, Vec<u8>)> {
        let mut rest = self
            .properties_range()
            .map_or(&[][..], |range| &self.body[range]);
        let mut found = Vec::new();
        while let [id, value @ ..] = rest {
            let string =
                |at: usize| 2 + usize::from(u16::from_be_bytes([value[at], value[at + 1]]));
            let length = match id {
                0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => 1,
                0x13 | 0x21 | 0x22 | 0x23 => 2,
                0x02 | 0x11 | 0x18 | 0x27 => 4,
                0x0B => integer(value).expect("an integer").1,
                0x26 => string(0) + string(string(0)),
                0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1A | 0x1C | 0x1F => string(0),
                other => panic!("{self:?}: unknown property {other:#x}"),
            };
            found.push((*id, value[..length].to_vec()));
            rest = &value[length..];
        }
        found
    }

    /// The values of one property.
    pub(crate) fn property(&self, id: u8) -> Vec<Vec<u8>> {
        let all = self.properties().into_iter();
        all.filter(|(found, _)| *found == id)
            .map(|(_, value)| value)
            .collect()
    }

    /// Payload of a PUBLISH.
    pub(crate) fn payload(&self) -> &[u8] {
        let no_properties = self.topic_end() + if self.qos() > 0 { 2 } else { 0 };
        let at = self
            .properties_range()
            .map_or(no_properties, |range| range.end);
        &self.body[at..]
    }

    /// The payload as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.payload().to_vec()).expect("UTF-8")
    }

    /// Return or Reason Codes.
    pub(crate) fn codes(&self) -> Vec<u8> {
        match self.kind() {
            2 => vec![self.body[1]],
            4..=7 if self.version == V5 => vec![self.body.get(2).copied().unwrap_or(0)],
            9 if self.version != V5 => self.body[2..].to_vec(),
            9 | 11 if self.version == V5 => {
                self.body[self.properties_range().expect("properties").end..].to_vec()
            }
            14 => vec![self.body.first().copied().unwrap_or(0)],
            _ => Vec::new(),
        }
    }
}
