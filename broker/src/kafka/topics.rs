//! The topic names of an instance, made once for all records.

use isthmus_core::shard::Topic;
use isthmus_kafka::names::{self, Names};
use std::sync::Arc;

/// Topic names, ready for every record.
#[derive(Clone, Debug)]
pub struct Topics {
    pub(super) names: Names,
    pub(super) state: Arc<str>,
    pub(super) routes: Arc<str>,
    inbox: Arc<str>,
    pub(super) retained: Arc<str>,
    connect: Arc<str>,
    disconnect: Arc<str>,
    pub(super) dead_letter: Arc<str>,
}

impl Topics {
    /// Of an instance.
    #[must_use]
    pub fn new(config: &isthmus_config::BrokerConfig) -> Self {
        let instance = &config.instance;
        let names = Names::new(
            &config.kafka.topic_prefix,
            &instance.namespace,
            &instance.name,
        );
        Self {
            state: names.state().into(),
            routes: names.routes().into(),
            inbox: names.inbox().into(),
            retained: names.retained().into(),
            connect: names.of(names::CONNECT).into(),
            disconnect: names.of(names::DISCONNECT).into(),
            dead_letter: names.of(names::DEAD_LETTER).into(),
            names,
        }
    }

    /// The names themselves.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// `<i>.inbox`
    #[must_use]
    pub fn inbox(&self) -> &Arc<str> {
        &self.inbox
    }

    pub(super) fn of(&self, topic: Topic) -> &Arc<str> {
        match topic {
            Topic::State => &self.state,
            Topic::Routes => &self.routes,
            Topic::Inbox => &self.inbox,
            Topic::Connect => &self.connect,
            Topic::Disconnect => &self.disconnect,
        }
    }
}
