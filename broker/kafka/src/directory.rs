//! The directory: users, ACLs and parent topics as records of `<i>.directory`, JSON values.
//!
//! A key is `<kind>/<name>`; an absent value deletes. A value of a newer version is an error that
//! stops the reader, never skipped.

mod read;
mod write;

use serde::{Deserialize, Serialize};

pub use read::{ReadError, read_all, read_all_from};
pub use write::DirectoryWriter;

/// The version that this release writes, and the newest that it reads.
pub const VERSION: u32 = 1;

/// Who wrote an entry and may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ManagedBy {
    /// A custom resource.
    Operator,
    /// The HTTP API.
    Api,
}

/// `user/<username>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Record version.
    pub v: u32,
    /// Who may change it.
    pub managed_by: ManagedBy,
    /// A disabled user is refused and disconnected.
    pub enabled: bool,
    /// PHC string, argon2id.
    pub password_hash: String,
}

/// `acl/<username>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acl {
    /// Record version.
    pub v: u32,
    /// Who may change it.
    pub managed_by: ManagedBy,
    /// What is allowed; nothing else is.
    pub rules: Vec<isthmus_config::AclRule>,
}

/// `parent/<first topic level>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parent {
    /// Record version.
    pub v: u32,
    /// Who may change it.
    pub managed_by: ManagedBy,
    /// Normal or strict order.
    #[serde(rename = "type")]
    pub kind: ParentType,
    /// The Kafka topic, prefix included.
    pub kafka_topic: String,
    /// The topic's `max.message.bytes`.
    pub max_message_bytes: u32,
}

/// Contract section 2.6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParentType {
    /// Order per device.
    #[default]
    Normal,
    /// A failed write is never overtaken by a later one of the same device.
    PartitionOrdered,
}

/// `pod/<node>`: a broker that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// Record version.
    pub v: u32,
    /// `host:port` where other brokers link to it.
    pub address: String,
    /// Which start of it, epoch ms.
    pub start: u64,
    /// It ends in order: nothing is to be given to it any more.
    #[serde(default)]
    pub leaving: bool,
}

/// One record of the directory, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `user/…`; `None` deletes.
    User(String, Option<User>),
    /// `acl/…`
    Acl(String, Option<Acl>),
    /// `parent/…`
    Parent(String, Option<Parent>),
    /// `pod/…`
    Pod(String, Option<Pod>),
    /// A kind that this release does not know: of no concern to it.
    Other(String),
}

/// Why a record of the directory could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Written by a newer release.
    #[error(
        "directory record {key} has version {found}, this release reads up to {VERSION}: upgrade the broker"
    )]
    Newer {
        /// The record's key.
        key: String,
        /// Its version.
        found: u64,
    },
    /// Not what the key promises.
    #[error("directory record {key}: {source}")]
    Malformed {
        /// The record's key.
        key: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The key is not UTF-8 or has no kind.
    #[error("directory record with key {0:?}: expected kind/name")]
    Key(Vec<u8>),
}

impl Entry {
    /// Reads one record; an absent or empty value deletes.
    ///
    /// # Errors
    /// A key without a kind, a value of a newer version or of another shape.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Self, DirectoryError> {
        let text = std::str::from_utf8(key).map_err(|_| DirectoryError::Key(key.to_vec()))?;
        let (kind, name) = text
            .split_once('/')
            .ok_or_else(|| DirectoryError::Key(key.to_vec()))?;
        let name = name.to_owned();
        Ok(match kind {
            "user" => Self::User(name, parse(text, value)?),
            "acl" => Self::Acl(name, parse(text, value)?),
            "parent" => Self::Parent(name, parse(text, value)?),
            "pod" => Self::Pod(name, parse(text, value)?),
            _ => Self::Other(text.to_owned()),
        })
    }

    /// Key and value of the record; no value deletes.
    #[must_use]
    pub fn encode(&self) -> (String, Option<Vec<u8>>) {
        match self {
            Self::User(name, value) => (format!("user/{name}"), value.as_ref().and_then(json)),
            Self::Acl(name, value) => (format!("acl/{name}"), value.as_ref().and_then(json)),
            Self::Parent(name, value) => (format!("parent/{name}"), value.as_ref().and_then(json)),
            Self::Pod(name, value) => (format!("pod/{name}"), value.as_ref().and_then(json)),
            Self::Other(key) => (key.clone(), None),
        }
    }
}

/// These types have string keys only and cannot fail to serialise.
fn json<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    serde_json::to_vec(value).ok()
}

fn parse<T: serde::de::DeserializeOwned>(
    key: &str,
    value: Option<&[u8]>,
) -> Result<Option<T>, DirectoryError> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u64,
    }
    let Some(value) = value.filter(|v| !v.is_empty()) else {
        return Ok(None);
    };
    let malformed = |source| DirectoryError::Malformed {
        key: key.to_owned(),
        source,
    };
    let version: Versioned = serde_json::from_slice(value).map_err(malformed)?;
    if version.v > u64::from(VERSION) {
        return Err(DirectoryError::Newer {
            key: key.to_owned(),
            found: version.v,
        });
    }
    serde_json::from_slice(value).map(Some).map_err(malformed)
}
