//! Packets of one read handed to the core, with one look at the clock and the tables for all.

use super::Worker;
use isthmus_core::shard::{ConnId, Flow};
use isthmus_mqtt::Packet;

/// What was taken of a connection's bytes; no flow: what is left is not a whole packet.
pub(super) struct Fed {
    pub(super) bytes: usize,
    pub(super) packets: u32,
    /// The last one was DISCONNECT.
    pub(super) goodbye: bool,
    pub(super) flow: Option<Flow>,
}

impl Worker {
    /// Hands over the packets in front of `bytes`, until one asks for something, stops the reading
    /// or is not whole.
    pub(super) fn feed(&mut self, id: ConnId, bytes: &[u8], largest: usize, at_most: u32) -> Fed {
        let mut fed = Fed {
            bytes: 0,
            packets: 0,
            goodbye: false,
            flow: Some(Flow::Go),
        };
        let version = self.core.version(id);
        self.act(|core, view, fx| {
            while fed.flow == Some(Flow::Go) && fx.is_empty() && fed.packets < at_most {
                let rest = bytes.get(fed.bytes..).unwrap_or_default();
                let decoded = isthmus_mqtt::frame(rest, largest).and_then(|frame| {
                    frame
                        .map(|frame| {
                            isthmus_mqtt::decode(frame, version).map(|packet| (frame.len, packet))
                        })
                        .transpose()
                });
                fed.flow = match decoded {
                    Ok(None) => None,
                    Err(error) => {
                        core.malformed(view, id, &error, fx);
                        Some(Flow::Close)
                    }
                    Ok(Some((length, packet))) => {
                        fed.bytes += length;
                        fed.packets += 1;
                        fed.goodbye = matches!(packet, Packet::Disconnect(_));
                        Some(core.received(view, id, &packet, fx))
                    }
                };
            }
        });
        fed
    }
}
