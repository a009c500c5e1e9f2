//! A record of `mq2mqtt` on its way to devices (contract section 3).

use super::confirm::Kind;
use super::effect::Effect;
use super::route::Manner;
use super::{Shard, View};
use crate::filter::has_wildcard;
use crate::message::{Message, Origin};
use isthmus_mqtt::QoS;
use std::sync::Arc;

/// A good record of `mq2mqtt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downlink {
    /// Partition of `mq2mqtt`.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Topic Name or Topic Filter.
    pub topic: String,
    /// `qosLevel`.
    pub qos: QoS,
    /// `cleanSession: true`: for devices online now.
    pub only_online: bool,
    /// The value.
    pub payload: Vec<u8>,
}

impl Shard {
    /// Publishes a record; [`Effect::DownlinkDone`] follows when everything it caused is safe.
    pub fn downlink(&mut self, view: View<'_>, record: &Downlink, fx: &mut Vec<Effect>) {
        let mut message = Message::new(&record.topic, &[], &record.payload);
        message.qos = record.qos;
        message.origin = Origin::Cloud;
        let token = self.token();
        let manner = Manner {
            by_filter: has_wildcard(&record.topic),
            only_online: record.only_online,
            token: Some(token),
            counted: true,
        };
        let routed = self.route(view, &Arc::new(message), manner, fx);
        let reached = routed.reached > 0 || !routed.writes.is_empty();
        let (partition, offset) = (record.partition, record.offset);
        let waits = routed.writes.len() + routed.answers;
        if waits == 0 {
            fx.push(Effect::DownlinkDone {
                partition,
                offset,
                reached,
            });
            return;
        }
        self.wait(
            token,
            Kind::Downlink {
                partition,
                offset,
                reached,
            },
            waits,
            None,
        );
        fx.extend(
            routed
                .writes
                .into_iter()
                .map(|write| Effect::Write(token, write)),
        );
    }
}
