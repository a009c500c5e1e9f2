//! Properties of MQTT 5 that outlive their packet: User Properties, and what of a message a
//! server forwards unaltered.

pub(crate) mod read;
pub(crate) mod write;

use std::fmt;

use crate::decode::DecodeError;
use crate::decode::reader::Reader;
use crate::encode::EncodeError;
use crate::encode::write::put_string;
use crate::packet::MessageProperties;
use read::{Properties, Property};

/// User Properties, in order, as a view over the bytes they arrived in.
///
/// The bytes were validated when the view was made; its pairs are parsed again when it is read,
/// so a packet whose User Properties nobody looks at costs nothing for them.
#[derive(Clone, Copy, Default)]
pub struct UserProperties<'a> {
    /// Properties as on the wire, empty or from the first User Property to the end of the last.
    span: &'a [u8],
    /// Whether other properties stand between those of the span.
    mixed: bool,
}

impl<'a> UserProperties<'a> {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.span.is_empty()
    }

    /// The pairs in order; a name can occur more than once.
    pub fn iter(&self) -> UserPropertiesIter<'a> {
        UserPropertiesIter(Reader::new(self.span))
    }
}

impl<'a> IntoIterator for &UserProperties<'a> {
    type Item = (&'a str, &'a str);
    type IntoIter = UserPropertiesIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for UserProperties<'_> {}

impl fmt::Debug for UserProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The pairs of a [`UserProperties`].
#[derive(Clone, Debug)]
pub struct UserPropertiesIter<'a>(Reader<'a>);

impl<'a> Iterator for UserPropertiesIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.0.is_empty() {
            // The span was validated, so an error cannot occur; it would end the iteration.
            if let Property::User(name, value) = Property::read(&mut self.0).ok()? {
                return Some((name, value));
            }
        }
        None
    }
}

/// User Properties that are made here instead of received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPropertiesBuf(Vec<u8>);

impl UserPropertiesBuf {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The pairs in order.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn from_pairs<'s>(
        pairs: impl IntoIterator<Item = (&'s str, &'s str)>,
    ) -> Result<Self, EncodeError> {
        let mut buf = Self::new();
        for (name, value) in pairs {
            buf.push(name, value)?;
        }
        Ok(buf)
    }

    /// Appends a pair.
    ///
    /// # Errors
    /// A string is longer than 65,535 bytes or holds U+0000; the list stays as it was.
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), EncodeError> {
        if [name, value].iter().any(|s| s.as_bytes().contains(&0)) {
            return Err(EncodeError::NullCharacter);
        }
        let before = self.0.len();
        self.0.push(read::id::USER_PROPERTY);
        let written = put_string(&mut self.0, name).and_then(|()| put_string(&mut self.0, value));
        if written.is_err() {
            self.0.truncate(before);
        }
        written
    }

    /// Forgets all pairs and keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The view that packets hold.
    #[must_use]
    pub fn as_user_properties(&self) -> UserProperties<'_> {
        UserProperties {
            span: &self.0,
            mixed: false,
        }
    }
}

impl<'a> MessageProperties<'a> {
    /// Appends, as bytes of an MQTT 5 property section, all that a server forwards unaltered
    /// ([MQTT-3.3.2-4], -15, -16, -17, -18, -20): everything but the Message Expiry Interval.
    ///
    /// # Errors
    /// A string or binary value is longer than 65,535 bytes, which no decoded one is; `out` stays
    /// as it was.
    pub fn encode_forwarded(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let before = out.len();
        let written = write::forwarded(out, self);
        if written.is_err() {
            out.truncate(before);
        }
        written
    }

    /// Reads what [`Self::encode_forwarded`] wrote.
    ///
    /// # Errors
    /// The bytes are not what it writes.
    pub fn from_forwarded(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut found = Self::default();
        let mut properties = Properties::of_section(bytes);
        while let Some(property) = properties.next()? {
            match property {
                Property::MessageExpiry(_) => return Err(property.not_allowed()),
                other => found.set(other)?,
            }
        }
        found.user_properties = properties.user_properties();
        Ok(found)
    }

    /// Takes one property of a message; its User Properties are taken from the section as a whole.
    pub(crate) fn set(&mut self, property: Property<'a>) -> Result<(), DecodeError> {
        match property {
            Property::PayloadFormat(value) => self.payload_format = Some(value),
            Property::MessageExpiry(value) => self.expiry = Some(value),
            Property::ContentType(value) => self.content_type = Some(value),
            Property::ResponseTopic(value) => self.response_topic = Some(value),
            Property::CorrelationData(value) => self.correlation_data = Some(value),
            Property::User(..) => {}
            other => return Err(other.not_allowed()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_properties_leave_out_expiry_and_keep_order() {
        let user = UserPropertiesBuf::from_pairs([("b", "1"), ("a", "2"), ("b", "1")]).unwrap();
        let properties = MessageProperties {
            payload_format: Some(1),
            expiry: Some(60),
            content_type: Some("t"),
            response_topic: Some("r/1"),
            correlation_data: Some(&[0, 255]),
            user_properties: user.as_user_properties(),
        };
        let mut bytes = Vec::new();
        properties.encode_forwarded(&mut bytes).unwrap();
        let hex = "0101 030001 74 080003 722f31 090002 00ff \
                   26000162000131 26000161000132 26000162000131";
        assert_eq!(bytes, crate::decode::testing::unhex(hex));

        let expected = MessageProperties {
            expiry: None,
            ..properties
        };
        assert_eq!(MessageProperties::from_forwarded(&bytes), Ok(expected));
    }

    #[test]
    fn user_properties_between_others_are_read_and_forwarded_alone() {
        let bytes = crate::decode::testing::unhex("2600016b0001760101 2600016b000177 030000");
        let found = MessageProperties::from_forwarded(&bytes).unwrap();
        let pairs: Vec<_> = found.user_properties.iter().collect();
        assert_eq!(pairs, [("k", "v"), ("k", "w")]);
        assert_eq!(
            format!("{:?}", found.user_properties),
            r#"[("k", "v"), ("k", "w")]"#
        );

        let mut again = Vec::new();
        found.encode_forwarded(&mut again).unwrap();
        assert_eq!(MessageProperties::from_forwarded(&again), Ok(found));
        assert_eq!(again.len(), bytes.len());
    }

    #[test]
    fn forwarded_bytes_with_what_is_not_forwarded_are_refused() {
        for (hex, error) in [
            ("0200000001", DecodeError::PropertyNotAllowed(0x02)),
            ("230001", DecodeError::PropertyNotAllowed(0x23)),
            ("0b01", DecodeError::PropertyNotAllowed(0x0b)),
            ("01", DecodeError::Truncated),
            ("01000101", DecodeError::DuplicateProperty(0x01)),
        ] {
            let bytes = crate::decode::testing::unhex(hex);
            assert_eq!(
                MessageProperties::from_forwarded(&bytes),
                Err(error),
                "{hex}"
            );
        }
    }

    #[test]
    fn a_pair_that_cannot_be_encoded_leaves_the_list_as_it_was() {
        let mut buf = UserPropertiesBuf::from_pairs([("a", "b")]).unwrap();
        assert_eq!(buf.push("a\0", "b"), Err(EncodeError::NullCharacter));
        let long = "x".repeat(65_536);
        assert_eq!(
            buf.push("a", &long),
            Err(EncodeError::StringTooLong(65_536))
        );
        let pairs: Vec<_> = buf.as_user_properties().iter().collect();
        assert_eq!(pairs, [("a", "b")]);
        buf.clear();
        assert!(buf.as_user_properties().is_empty());
    }
}
