//! The values that metric labels take, as enums, and counters that have one atomic a value.
//!
//! All series exist from the start, at 0, and an update is an enum's discriminant and one atomic
//! addition: no map, no lock.

use std::marker::PhantomData;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// An enum whose values are the values of one label.
pub trait Label: Copy + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// Every value, in the order of the discriminants.
    const ALL: &'static [Self];
    /// The label's value.
    fn value(self) -> &'static str;
    /// The position in [`Label::ALL`].
    fn position(self) -> usize;
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident($label:literal) { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            fn value(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            fn position(self) -> usize {
                usize::from(self as u8)
            }
        }
    };
}

label! {
    /// Where a connection came in.
    ListenerKind("listener") {
        /// MQTT over TCP.
        Mqtt = "mqtt",
        /// MQTT over WebSocket.
        Ws = "ws",
    }
}

label! {
    /// Why a connection was ended before a session had it.
    RefusalReason("reason") {
        /// `limits.maxConnections` are connected.
        MaxConnections = "max_connections",
        /// The system could not give a socket (EMFILE and the like).
        AcceptFailed = "accept_failed",
        /// No whole CONNECT in time.
        Timeout = "timeout",
        /// The client went away before its CONNECT was whole.
        Closed = "closed",
        /// The HTTP request is not a WebSocket upgrade for MQTT.
        Http = "http",
        /// WebSocket frames that are not MQTT's.
        WebSocket = "websocket",
        /// The first packet is not CONNECT.
        NotConnect = "not_connect",
        /// The CONNECT is malformed or against the protocol.
        Malformed = "malformed",
        /// The CONNECT is larger than allowed.
        TooLarge = "too_large",
        /// A protocol version that is not served.
        UnsupportedVersion = "unsupported_version",
        /// The ClientId is not allowed.
        ClientId = "client_id",
        /// An Authentication Method was asked for.
        AuthenticationMethod = "authentication_method",
        /// Wrong user name or password.
        BadCredentials = "bad_credentials",
        /// No user name, and anonymous clients are not allowed.
        Anonymous = "anonymous",
        /// Too many passwords waited to be checked.
        Busy = "busy",
        /// Nobody serves the slot of its session.
        Unserved = "unserved",
        /// This pod is shutting down.
        ShuttingDown = "shutting_down",
    }
}

label! {
    /// A message's QoS.
    QosLabel("qos") {
        /// At most once.
        Qos0 = "0",
        /// At least once.
        Qos1 = "1",
        /// Exactly once.
        Qos2 = "2",
    }
}

label! {
    /// Why a message was dropped.
    DropReason("reason") {
        /// The session's queue was full: its oldest went.
        QueueFull = "queue_full",
        /// QoS 0 while the bytes waiting for Kafka are past their bound.
        Qos0Backlog = "qos0_backlog",
        /// Too many bytes waited to be written to the client.
        OutgoingFull = "outgoing_full",
        /// Message Expiry Interval, or older than the inbox keeps.
        Expired = "expired",
        /// Larger than the client's Maximum Packet Size.
        TooLarge = "too_large",
        /// Not retained: the instance's limit of retained messages.
        RetainedLimit = "retained_limit",
        /// No topic name follows from filter and subscription (contract 3.3).
        NoTopicName = "no_topic_name",
        /// The link to the pod of its receivers was down, or too slow.
        Link = "link",
    }
}

label! {
    /// Why a device's PUBLISH was not taken.
    PublishRefusal("reason") {
        /// The ACL does not allow it.
        NoPermission = "no_permission",
        /// Payload, envelope or topic too large.
        TooLarge = "too_large",
        /// Kafka refused the record for good.
        RefusedByKafka = "refused_by_kafka",
    }
}

label! {
    /// What became of a record for Kafka.
    RecordOutcome("outcome") {
        /// Acknowledged with `acks=all`.
        Stored = "stored",
        /// Refused for good.
        Refused = "refused",
    }
}

label! {
    /// How a Kafka transaction ended.
    TransactionOutcome("outcome") {
        /// Committed.
        Committed = "committed",
        /// Another pod has taken the producer's identity or the slots.
        Fenced = "fenced",
    }
}

label! {
    /// What became of a record of `mq2mqtt` (invariant 7).
    DownlinkOutcome("outcome") {
        /// Written to an online session or queued for a persistent one.
        Delivered = "delivered",
        /// Copied to the dead letter.
        Dead = "dead",
        /// Due to nobody.
        Nobody = "nobody",
    }
}

label! {
    /// A header of `mq2mqtt` whose value was not understood.
    DownlinkHeader("header") {
        /// `qosLevel`
        QosLevel = "qosLevel",
        /// `cleanSession`
        CleanSession = "cleanSession",
    }
}

label! {
    /// What this pod is doing with a slot.
    SlotState("state") {
        /// Reading the slot's state back.
        Restoring = "restoring",
        /// Serving.
        Open = "open",
    }
}

label! {
    /// Kind of session.
    SessionKind("kind") {
        /// Ends with its connection.
        Clean = "clean",
        /// Persistent and connected.
        PersistentOnline = "persistent_online",
        /// Persistent and away.
        PersistentOffline = "persistent_offline",
    }
}

type Pairs = Vec<(&'static str, &'static str)>;

/// One counter for every value of a label.
#[derive(Debug)]
pub struct Counters<L>(Vec<Counter>, PhantomData<L>);

impl<L: Label> Counters<L> {
    pub(super) fn register(registry: &mut Registry, name: &str, help: &str) -> Self {
        let family = Family::<Pairs, Counter>::default();
        registry.register(name, help, family.clone());
        let counter = |l: &L| family.get_or_create(&vec![(L::NAME, l.value())]).clone();
        Self(L::ALL.iter().map(counter).collect(), PhantomData)
    }

    /// Adds.
    pub fn add(&self, label: L, count: u64) {
        if let Some(counter) = self.0.get(label.position()) {
            counter.inc_by(count);
        }
    }

    /// Adds one.
    pub fn inc(&self, label: L) {
        self.add(label, 1);
    }

    /// The value now.
    #[must_use]
    pub fn get(&self, label: L) -> u64 {
        self.0.get(label.position()).map_or(0, Counter::get)
    }
}

/// One gauge for every value of a label.
#[derive(Debug)]
pub struct Gauges<L>(Vec<Gauge>, PhantomData<L>);

impl<L: Label> Gauges<L> {
    pub(super) fn register(registry: &mut Registry, name: &str, help: &str) -> Self {
        let family = Family::<Pairs, Gauge>::default();
        registry.register(name, help, family.clone());
        let gauge = |l: &L| family.get_or_create(&vec![(L::NAME, l.value())]).clone();
        Self(L::ALL.iter().map(gauge).collect(), PhantomData)
    }

    /// Adds; a negative number subtracts.
    pub fn add(&self, label: L, count: i64) {
        if let Some(gauge) = self.0.get(label.position()) {
            gauge.inc_by(count);
        }
    }

    /// The value now.
    #[must_use]
    pub fn get(&self, label: L) -> i64 {
        self.0.get(label.position()).map_or(0, Gauge::get)
    }
}

impl ListenerKind {
    /// `mqtt` or `ws`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.value()
    }
}

impl QosLabel {
    /// The label of a QoS; anything above 2 counts as 2.
    #[must_use]
    pub const fn of(qos: u8) -> Self {
        match qos {
            0 => Self::Qos0,
            1 => Self::Qos1,
            _ => Self::Qos2,
        }
    }
}
