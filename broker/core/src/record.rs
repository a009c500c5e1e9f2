//! The records of the internal topics `state`, `inbox`, `routes` and `retained`.
//!
//! A value is one byte of format version, then the record in postcard's encoding. A version newer
//! than this release knows is an error that stops the reader; nothing is ever skipped.

use crate::message::{Message, Origin};
use crate::queue::Entry;
use crate::routes::Kinds;
use isthmus_mqtt::QoS;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The format that this release writes, and the newest that it reads.
pub const VERSION: u8 = 1;

/// Why a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer release.
    #[error("record of format {0}, this release reads up to {VERSION}: upgrade the broker")]
    Newer(u8),
    /// Not a record of this kind.
    #[error("malformed record: {0}")]
    Malformed(String),
}

/// A record's value.
#[must_use]
pub fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    let mut value = Vec::new();
    append(record, &mut value);
    value
}

/// Appends a record's value.
pub fn append<T: Serialize>(record: &T, to: &mut Vec<u8>) {
    to.push(VERSION);
    // Fails only for types without a known length, of which there are none here.
    *to = postcard::to_extend(record, std::mem::take(to)).unwrap_or_default();
}

/// Reads a record's value.
///
/// # Errors
/// [`RecordError`]
pub fn decode<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Result<T, RecordError> {
    match value.split_first() {
        Some((&VERSION, rest)) => {
            postcard::from_bytes(rest).map_err(|e| RecordError::Malformed(e.to_string()))
        }
        Some((&newer, _)) if newer > VERSION => Err(RecordError::Newer(newer)),
        _ => Err(RecordError::Malformed("no format version".to_owned())),
    }
}

/// A message in the inbox, in the retained topic, or as a Will.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRecord<'a> {
    topic: &'a str,
    #[serde(with = "serde_bytes")]
    forwarded: &'a [u8],
    #[serde(with = "serde_bytes")]
    payload: &'a [u8],
    qos: u8,
    retain: bool,
    origin: Origin,
    expires_at: Option<u64>,
    publisher: &'a str,
}

impl<'a> From<&'a Message> for MessageRecord<'a> {
    fn from(message: &'a Message) -> Self {
        Self {
            topic: message.topic(),
            forwarded: message.forwarded(),
            payload: message.payload(),
            qos: message.qos as u8,
            retain: message.retain,
            origin: message.origin,
            expires_at: message.expires_at,
            publisher: &message.publisher,
        }
    }
}

impl MessageRecord<'_> {
    /// The message itself.
    #[must_use]
    pub fn to_message(&self) -> Message {
        let mut message = Message::new(self.topic, self.forwarded, self.payload);
        message.qos = qos(self.qos);
        message.retain = self.retain;
        message.origin = self.origin;
        message.expires_at = self.expires_at;
        message.publisher = Arc::from(self.publisher);
        message
    }
}

/// QoS of its number; what is out of range counts as the highest.
#[must_use]
pub fn qos(number: u8) -> QoS {
    match number {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

/// A value of the inbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InboxRecord<'a> {
    /// A message and for whom it is.
    Message {
        /// What.
        #[serde(borrow)]
        message: MessageRecord<'a>,
        /// For whom.
        #[serde(borrow)]
        target: Target<'a>,
    },
    /// From here on a session's durable subscriptions are changed so.
    Marker(Marker),
    /// The slot's new owner has asked to be told when it has read all that was here before.
    Opened {
        /// Who.
        owner: OwnerRecord,
        /// Which of its restores.
        restore: u64,
    },
}

/// For whom in the slot a message is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target<'a> {
    /// Every session with a matching subscription.
    pub all: bool,
    /// The message's topic is a filter that is met with each subscription (contract 3.3).
    pub by_filter: bool,
    /// One member of each of these shared subscriptions: ShareName and inner filter.
    #[serde(borrow)]
    pub shared: Vec<(&'a str, &'a str)>,
    /// A retained message for one new subscription.
    pub retained: Option<RetainedFor>,
}

/// The subscription that a retained message is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetainedFor {
    /// The subscriber.
    pub client_id: String,
    /// Its session.
    pub incarnation: u64,
    /// Its Topic Filter.
    pub filter: String,
}

/// Changes of one session's subscriptions, in force from the record's offset on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The subscriber.
    pub client_id: String,
    /// Its session; a marker of an ended one is void.
    pub incarnation: u64,
    /// Filters (`$share/…` included) with their new options; `None` unsubscribes.
    pub changes: Vec<(String, Option<SubscriptionRecord>)>,
}

/// Options of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionRecord {
    /// Maximum QoS.
    pub qos: u8,
    /// No Local.
    pub no_local: bool,
    /// Retain As Published.
    pub retain_as_published: bool,
    /// Subscription Identifier.
    pub id: Option<u32>,
}

/// `s/<clientId>` of the state topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Tells this session from earlier ones of the clientId.
    pub incarnation: u64,
    /// Session Expiry Interval, seconds.
    pub expiry: u32,
    /// When the connection ended, epoch ms; `None` while connected.
    pub disconnected_at: Option<u64>,
    /// Whose rights count.
    pub username: Option<String>,
    /// The next sequence number of the queue.
    pub next: u64,
    /// Inbox records before this offset have had their effect on it.
    pub seen: i64,
    /// In force at the committed position of the inbox.
    pub subscriptions: Vec<(String, SubscriptionRecord)>,
}

/// `q/<chunk>/<clientId>` of the state topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRecord {
    /// The session that it belongs to.
    pub incarnation: u64,
    /// From `chunk * CHUNK` on.
    pub entries: Vec<Entry>,
}

/// `2/<packet id>/<clientId>` of the state topic: a QoS 2 message is stored, PUBREL awaited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qos2Record {
    /// The session that it belongs to.
    pub incarnation: u64,
}

/// `c/<clientId>` of the state topic: who is connected, for whoever has to end it after a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkRecord<'a> {
    /// Pairs connect and disconnect events.
    pub connection: String,
    /// Presence headers.
    pub username: Option<String>,
    /// Presence headers.
    pub peer: String,
    /// Presence headers.
    pub protocol: String,
    /// Presence headers.
    pub node: String,
    /// `ts` of the connect event.
    pub ts: u64,
    /// Will, with its delay in seconds.
    #[serde(borrow)]
    pub will: Option<(MessageRecord<'a>, u32)>,
}

/// `w/<number>/<clientId>` of the state topic: a Will that is to be published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WillRecord<'a> {
    /// When, epoch ms.
    pub due: u64,
    /// The username whose rights count.
    pub username: Option<String>,
    /// What.
    #[serde(borrow)]
    pub message: MessageRecord<'a>,
}

/// A filter of the routes topic; its key is the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRecord {
    /// How the slot's subscribers want it.
    pub kinds: Kinds,
}

/// The key of [`OwnerRecord`] in the routes topic; no filter is written so, since `!` in front
/// marks the keys that are none.
pub const OWNER_KEY: &[u8] = b"!owner";

/// The header of a route record with the number of the change, decimal.
pub const ROUTE_NUMBER: &str = "number";

/// `!owner` of the routes topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerRecord {
    /// The pod.
    pub node: String,
    /// Its start.
    pub start: u64,
}

/// A key of the state topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateKey<'a> {
    /// [`SessionRecord`]
    Session(&'a str),
    /// [`ChunkRecord`]
    Chunk(u64, &'a str),
    /// [`Qos2Record`]
    Qos2(u16, &'a str),
    /// [`MarkRecord`]
    Mark(&'a str),
    /// [`WillRecord`]
    Will(u64, &'a str),
}

impl<'a> StateKey<'a> {
    /// The record's key.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Session(client) => format!("s/{client}"),
            Self::Chunk(chunk, client) => format!("q/{chunk}/{client}"),
            Self::Qos2(id, client) => format!("2/{id}/{client}"),
            Self::Mark(client) => format!("c/{client}"),
            Self::Will(id, client) => format!("w/{id}/{client}"),
        }
        .into_bytes()
    }

    /// Reads a key.
    ///
    /// # Errors
    /// A key of no known kind.
    pub fn decode(key: &'a [u8]) -> Result<Self, RecordError> {
        let wrong =
            || RecordError::Malformed(format!("state key {:?}", key.escape_ascii().to_string()));
        let text = std::str::from_utf8(key).map_err(|_| wrong())?;
        let (kind, rest) = text.split_once('/').ok_or_else(wrong)?;
        let numbered = || rest.split_once('/').ok_or_else(wrong);
        Ok(match kind {
            "s" => Self::Session(rest),
            "c" => Self::Mark(rest),
            "w" => {
                let (id, client) = numbered()?;
                Self::Will(id.parse().map_err(|_| wrong())?, client)
            }
            "q" => {
                let (chunk, client) = numbered()?;
                Self::Chunk(chunk.parse().map_err(|_| wrong())?, client)
            }
            "2" => {
                let (id, client) = numbered()?;
                Self::Qos2(id.parse().map_err(|_| wrong())?, client)
            }
            _ => return Err(wrong()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_round_trip_with_slashes_in_the_client_id() {
        for key in [
            StateKey::Session("a/b"),
            StateKey::Chunk(7, "a/b"),
            StateKey::Qos2(65_535, "/"),
            StateKey::Mark(""),
            StateKey::Will(9, "é"),
        ] {
            assert_eq!(StateKey::decode(&key.encode()), Ok(key.clone()));
        }
        assert!(StateKey::decode(b"x/y").is_err());
        assert!(StateKey::decode(b"q/x/y").is_err());
    }

    #[test]
    fn a_message_round_trips() {
        let mut message = Message::new("a/b", &[1, 1], &[0, 255]);
        message.qos = QoS::ExactlyOnce;
        message.expires_at = Some(9);
        message.publisher = Arc::from("me");
        let record = InboxRecord::Message {
            message: MessageRecord::from(&message),
            target: Target {
                all: true,
                shared: vec![("g", "a/#")],
                ..Target::default()
            },
        };
        let bytes = encode(&record);
        match decode::<InboxRecord<'_>>(&bytes) {
            Ok(InboxRecord::Message {
                message: again,
                target,
            }) => {
                assert_eq!(again.to_message(), message);
                assert_eq!(target.shared, [("g", "a/#")]);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_newer_format_is_told_apart_from_garbage() {
        assert_eq!(decode::<RouteRecord>(&[2, 0]), Err(RecordError::Newer(2)));
        assert!(matches!(
            decode::<RouteRecord>(&[]),
            Err(RecordError::Malformed(_))
        ));
        assert!(matches!(
            decode::<InboxRecord<'_>>(&[1, 9, 9]),
            Err(RecordError::Malformed(_))
        ));
    }
}
