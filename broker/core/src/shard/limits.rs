//! What a PUBLISH must keep: limits, rights, the publish rate; and how a refused one is answered.

use super::confirm::{Kind, Pending};
use super::connection::{Ended, Flow};
use super::effect::{ConnId, Effect};
use super::session::Received;
use super::{Shard, View};
use isthmus_mqtt::{Publish, QoS, ReasonCode, Version};
use std::sync::Arc;

impl Shard {
    /// Limits and rights, before anything is routed.
    pub(super) fn refusal(
        &mut self,
        key: usize,
        topic: &str,
        packet: &Publish<'_>,
    ) -> Option<ReasonCode> {
        let limits = &self.config.limits;
        if !fits(limits, topic) {
            self.counters.refused_size += 1;
            return Some(ReasonCode::TOPIC_NAME_INVALID);
        }
        if limits
            .max_payload_size
            .is_some_and(|most| packet.payload.len() > most as usize)
        {
            self.counters.refused_size += 1;
            return Some(ReasonCode::QUOTA_EXCEEDED);
        }
        let may = self
            .sessions
            .get(key)
            .is_some_and(|s| s.acl.may_publish(topic));
        if !may {
            self.counters.refused_acl += 1;
            return Some(ReasonCode::NOT_AUTHORIZED);
        }
        None
    }

    pub(super) fn refuse_publish(
        &mut self,
        view: View<'_>,
        id: ConnId,
        of: (usize, u64),
        packet: &Publish<'_>,
        reason: ReasonCode,
        fx: &mut Vec<Effect>,
    ) -> Flow {
        let v5 = self
            .conns
            .get(&id)
            .is_some_and(|c| c.version == Version::V5);
        if !v5 && reason != ReasonCode::NOT_AUTHORIZED {
            return self.protocol_error(view, id, reason, fx);
        }
        if packet.qos > QoS::AtMostOnce {
            // 3.x: acknowledged and dropped (contract section 6); QoS 2 is then released as usual.
            if packet.qos == QoS::ExactlyOnce
                && !v5
                && let Some(session) = self.sessions.get_mut(of.0)
            {
                session.received.insert(packet.packet_id, Received::Stored);
            }
            let kind = Kind::Publish {
                packet_id: packet.packet_id,
                qos: packet.qos,
            };
            let token = self.token();
            let reason = if v5 { reason } else { ReasonCode::SUCCESS };
            self.owe(
                token,
                id,
                Pending {
                    reason,
                    ..Pending::owed(kind, 0, of, id)
                },
            );
        }
        Flow::Go
    }

    /// The publish rate of a client, as back-pressure.
    pub(super) fn rate(&mut self, view: View<'_>, id: ConnId) -> Flow {
        let Some(conn) = self.conns.get_mut(&id) else {
            return Flow::Close;
        };
        if conn.owes_too_much {
            return Flow::Pause;
        }
        let Some(rate) = self
            .config
            .limits
            .publish_rate_per_client
            .filter(|rate| *rate > 0)
        else {
            return Flow::Go;
        };
        // Microseconds; a second's worth may come at once.
        let now = view.now * 1000;
        conn.rate_debt =
            conn.rate_debt.max(now.saturating_sub(1_000_000)) + 1_000_000 / u64::from(rate);
        if conn.rate_debt > now {
            Flow::Wait((conn.rate_debt - now).div_ceil(1000))
        } else {
            Flow::Go
        }
    }

    pub(super) fn protocol_error(
        &mut self,
        view: View<'_>,
        id: ConnId,
        reason: ReasonCode,
        fx: &mut Vec<Effect>,
    ) -> Flow {
        self.end(view, id, Ended::Protocol(reason), fx);
        Flow::Close
    }
}

/// Topic length and levels.
pub(super) fn fits(limits: &isthmus_config::Limits, topic: &str) -> bool {
    let length = if limits.lengths_in_characters {
        topic.chars().count()
    } else {
        topic.len()
    };
    length <= limits.max_topic_length as usize
        && topic.bytes().filter(|b| *b == b'/').count() < limits.max_topic_levels as usize
}

/// The Topic Name of a PUBLISH: its own, or the one that a Topic Alias stands for.
pub(super) enum TopicName<'a> {
    Own(&'a str),
    Alias(Arc<str>),
}

impl std::ops::Deref for TopicName<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Own(name) => name,
            Self::Alias(name) => name,
        }
    }
}

pub(super) fn resolve_alias<'a>(
    conn: &mut super::connection::Conn,
    packet: &Publish<'a>,
) -> Result<TopicName<'a>, ReasonCode> {
    if !packet.subscription_ids.is_empty() {
        return Err(ReasonCode::PROTOCOL_ERROR); // [MQTT-3.3.4-6]
    }
    match packet.topic_alias {
        None => Ok(TopicName::Own(packet.topic)),
        Some(alias) if alias == 0 || alias > super::connect::TOPIC_ALIASES => {
            Err(ReasonCode::TOPIC_ALIAS_INVALID)
        }
        Some(alias) if packet.topic.is_empty() => conn
            .aliases
            .get(&alias)
            .map(|name| TopicName::Alias(name.clone()))
            .ok_or(ReasonCode::PROTOCOL_ERROR),
        Some(alias) => {
            conn.aliases.insert(alias, Arc::from(packet.topic));
            Ok(TopicName::Own(packet.topic))
        }
    }
}
