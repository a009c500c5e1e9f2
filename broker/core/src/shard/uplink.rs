//! Records for parent topics: the envelope within the topic's limit, and by which producer.

use super::effect::{Effect, Parent, Token, Transact, Uplink, Write};
use super::envelope::envelope;
use super::lane::Way;
use super::{Shard, View, first_level, storable};
use crate::message::Message;
use isthmus_mqtt::{QoS, ReasonCode};
use std::sync::Arc;

/// Bytes of a record besides envelope, key and header values.
const RECORD_OVERHEAD: usize = 256;

/// What is stored of a message.
pub(super) struct Stored {
    parent: Arc<Parent>,
    envelope: Vec<u8>,
    base64: bool,
}
impl Shard {
    /// The envelope for a created parent topic; an error when it is above the topic's limit.
    pub(super) fn stored(
        &self,
        view: View<'_>,
        client: &str,
        message: &Message,
    ) -> Result<Option<Stored>, ReasonCode> {
        if !storable(message) {
            return Ok(None);
        }
        let Some(parent) = view.directory.parent(first_level(message.topic())) else {
            return Ok(None);
        };
        let (envelope, base64) = envelope(client, message.topic(), message.payload(), view.now);
        let headers = message.topic().len() + message.forwarded().len() * 2;
        let size = envelope.len() + client.len() + headers + RECORD_OVERHEAD;
        if size > parent.max_message_bytes as usize {
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        Ok(Some(Stored {
            parent,
            envelope,
            base64,
        }))
    }

    pub(super) fn uplink(
        &mut self,
        view: View<'_>,
        client: &Arc<str>,
        message: &Arc<Message>,
        stored: Stored,
    ) -> (Way, Uplink) {
        self.next_seq += 1;
        let way = match (stored.parent.ordered, message.qos) {
            (true, _) => Way::Ordered,
            (false, QoS::ExactlyOnce) => Way::Transaction,
            (false, _) => Way::Stream,
        };
        let uplink = Uplink {
            parent: stored.parent,
            client_id: client.clone(),
            message: message.clone(),
            envelope: stored.envelope,
            base64: stored.base64,
            ts: view.now,
            seq: self.next_seq,
        };
        (way, uplink)
    }

    pub(super) fn by_way(
        &self,
        way: Way,
        token: Token,
        client: &str,
        uplink: Uplink,
        writes: Vec<Write>,
    ) -> Effect {
        match way {
            Way::Stream => Effect::Uplink(token, uplink),
            Way::Transaction | Way::Ordered => {
                let slot = self.slot_of(client);
                Effect::Transact(Transact {
                    token,
                    slot,
                    uplinks: vec![uplink],
                    writes,
                })
            }
        }
    }
}
