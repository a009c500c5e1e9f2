//! What a shard asks of the world, in the order in which it must happen.

use crate::message::Message;
use crate::retained::Word;
use crate::routes::Kinds;
use std::sync::Arc;

/// A connection of the shard; never reused within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// Names what waits for a confirmation; unique within a shard.
pub type Token = u64;

/// A parent topic that has been created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The Kafka topic, prefix included.
    pub kafka_topic: String,
    /// Of type `PartitionOrdered`.
    pub ordered: bool,
    /// The topic's `max.message.bytes`.
    pub max_message_bytes: u32,
}

/// A Kafka topic of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// `<i>.state`
    State,
    /// `<i>.routes`
    Routes,
    /// `<i>.inbox`
    Inbox,
    /// `mqtt-device-connect`
    Connect,
    /// `mqtt-device-disconnect`
    Disconnect,
}

/// A record to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub topic: Topic,
    /// The slot; `None`: by the key.
    pub slot: Option<u16>,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value; `None` deletes.
    pub value: Option<Vec<u8>>,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
}

/// A record for a parent topic; its headers follow from the message (ruling 4).
#[derive(Clone, Debug, PartialEq)]
pub struct Uplink {
    /// Where.
    pub parent: Arc<Parent>,
    /// The publisher: the record's key.
    pub client_id: Arc<str>,
    /// The message, for the headers.
    pub message: Arc<Message>,
    /// The JSON envelope.
    pub envelope: Vec<u8>,
    /// The payload stands as base64 in it.
    pub base64: bool,
    /// Receipt time, epoch ms: the record's timestamp.
    pub ts: u64,
    /// Header `seq`: the count of this process's shard.
    pub seq: u64,
}

/// Where live messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum To {
    /// A shard of this process.
    Shard(u16),
    /// Another pod, by the number that the routes have for it.
    Peer(u16),
}

/// A live message for the sessions of another shard.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// The message.
    pub message: Arc<Message>,
    /// To every matching session; else to shared subscriptions only.
    pub all: bool,
    /// The message's topic is a filter (contract 3.3).
    pub by_filter: bool,
    /// Never by way of the inbox: `cleanSession: true` of a downlink record.
    pub only_online: bool,
    /// One member each: slot, ShareName, inner filter.
    pub shared: Vec<(u16, Box<str>, Box<str>)>,
    /// Answered with the number of sessions reached, when asked for.
    pub answer: Option<Token>,
}

/// What is stored together or not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Transact {
    /// Confirmed by this.
    pub token: Token,
    /// The slot whose ownership the transaction proves.
    pub slot: u16,
    /// For parent topics.
    pub uplinks: Vec<Uplink>,
    /// For internal topics.
    pub writes: Vec<Write>,
}

/// What must be told to Kafka about one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The slot.
    pub slot: u16,
    /// Every inbox record before this offset is in the state.
    pub next_offset: i64,
}

/// What became of a live message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It reached so many sessions.
    Now(usize),
    /// It goes on to other members of its shared subscriptions; [`Effect::Answer`] follows.
    Later(Token),
}

/// What a shard asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Store a record in a parent topic with the idempotent producer; confirm with the token.
    Uplink(Token, Uplink),
    /// Write a record with the idempotent producer; confirm with the token.
    Write(Token, Write),
    /// Store all of this or nothing, in a transaction of the second producer (QoS 2, ordered
    /// parents); confirm with the token.
    Transact(Transact),
    /// Commit the state of slots in a transaction of the first producer. One at a time.
    Commit {
        /// Named in the answer.
        id: u64,
        /// How far each slot has come.
        positions: Vec<Position>,
        /// What changed.
        writes: Arc<Vec<Write>>,
    },
    /// Deliver to another shard, or to the sessions of another pod.
    Live(To, Live),
    /// The answer to a live message of [`Taken::Later`]: how many sessions it reached.
    Answer(Token, usize),
    /// What a slot's subscribers want has changed.
    Route {
        /// The slot.
        slot: u16,
        /// The filter, `$share/…` included.
        filter: Box<str>,
        /// None: nobody any more.
        kinds: Kinds,
        /// Rises with each change of the slot.
        number: u64,
    },
    /// Ask the linked pods for their word that they have applied every route up to here; answer
    /// with [`super::Shard::synced`].
    Sync(Token),
    /// A retained message (an empty one clears): to the cache at once and to its topic, under
    /// this token; `None` where nobody waits. By whose word, where the publisher's slot is here.
    Retain(Option<Token>, Option<Word>, Arc<Message>),
    /// Read the retained messages as far as their log goes now, then say
    /// [`super::Shard::refreshed`] with this token.
    Refresh(Token),
    /// Fetch these bodies of the slot's inbox, ascending.
    Fetch(u16, Vec<i64>),
    /// Write what is in the outbox, then close.
    Close(ConnId),
    /// A paused connection may be read again.
    Resume(ConnId),
    /// A restored slot is served.
    Opened(u16),
    /// A downlink record is done with.
    DownlinkDone {
        /// Partition of `mq2mqtt`.
        partition: i32,
        /// Its offset.
        offset: i64,
        /// Delivered or queued for someone.
        reached: bool,
    },
}
