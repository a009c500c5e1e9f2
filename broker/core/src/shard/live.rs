//! The live queue of one session: QoS > 0 messages delivered from memory, those sent and not
//! acknowledged before those that wait for the window.
//!
//! Packet ids rise from message to message, so that what is acknowledged in order is found at the
//! front; no id is given out while a message still has it.

use super::deliver::Share;
use crate::message::Message;
use crate::queue::DURABLE_IDS;
use std::collections::VecDeque;
use std::sync::Arc;

/// The first packet id of live deliveries; those below belong to the durable queue.
const FIRST_ID: u16 = DURABLE_IDS as u16 + 1;

/// A QoS > 0 message delivered from memory.
#[derive(Clone, Debug)]
pub(super) struct LiveEntry {
    pub(super) message: Arc<Message>,
    pub(super) share: Share,
    /// ShareName and filter that it came by.
    pub(super) shared: Option<Box<(Box<str>, Box<str>)>>,
}

/// A message that its receiver has not acknowledged.
#[derive(Clone, Debug)]
pub(super) struct SentEntry {
    pub(super) entry: LiveEntry,
    pub(super) packet_id: u16,
    /// PUBREC has come.
    pub(super) released: bool,
    /// It must be sent again on this connection.
    pub(super) resend: bool,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct LiveQueue {
    /// In the order of sending, ids rising.
    sent: VecDeque<SentEntry>,
    unsent: VecDeque<LiveEntry>,
    bytes: u64,
    resends: usize,
    last_id: u16,
}

impl LiveQueue {
    /// Messages not acknowledged, sent or not.
    pub(super) fn len(&self) -> usize {
        self.sent.len() + self.unsent.len()
    }

    pub(super) fn push(&mut self, entry: LiveEntry) {
        self.bytes += entry.message.size() as u64;
        self.unsent.push_back(entry);
    }

    /// Whether more wait than may; one may always.
    pub(super) fn is_over(&self, messages: u32, bytes: u64) -> bool {
        self.unsent.len() > 1 && (self.unsent.len() > messages as usize || self.bytes > bytes)
    }

    /// The next that was never sent.
    pub(super) fn next(&self) -> Option<&LiveEntry> {
        self.unsent.front()
    }

    /// Takes the next out without sending it.
    pub(super) fn pop_next(&mut self) -> Option<LiveEntry> {
        let entry = self.unsent.pop_front()?;
        self.bytes = self.bytes.saturating_sub(entry.message.size() as u64);
        Some(entry)
    }

    /// The next was sent under this id.
    pub(super) fn send_next(&mut self, packet_id: u16) {
        let Some(entry) = self.unsent.pop_front() else {
            return;
        };
        self.last_id = packet_id;
        self.sent.push_back(SentEntry {
            entry,
            packet_id,
            released: false,
            resend: false,
        });
    }

    /// An id that no message has.
    pub(super) fn free_id(&self) -> u16 {
        let mut id = self.last_id;
        loop {
            id = id.checked_add(1).unwrap_or(FIRST_ID).max(FIRST_ID);
            // The window is far smaller than the number of ids.
            if self.find(id).is_none() {
                return id;
            }
        }
    }

    /// Ids rise by at least one from entry to entry, so none stands further back than its distance
    /// from the first, nor before one with a lower id.
    fn find(&self, packet_id: u16) -> Option<usize> {
        let first = self.sent.front()?.packet_id;
        let distance = |id: u16| match id.checked_sub(first) {
            Some(distance) => Some(distance),
            None => Some(id.checked_sub(FIRST_ID)? + (u16::MAX - first) + 1),
        };
        let wanted = distance(packet_id)?;
        let mut at = usize::from(wanted).min(self.sent.len() - 1);
        loop {
            let there = distance(self.sent.get(at)?.packet_id)?;
            if there <= wanted {
                return (there == wanted).then_some(at);
            }
            at = at.checked_sub(1)?;
        }
    }

    pub(super) fn get_mut(&mut self, packet_id: u16) -> Option<&mut SentEntry> {
        let at = self.find(packet_id)?;
        self.sent.get_mut(at)
    }

    /// Acknowledged for good, where it fits.
    pub(super) fn finish(
        &mut self,
        packet_id: u16,
        fits: impl FnOnce(&SentEntry) -> bool,
    ) -> Option<SentEntry> {
        let at = self.find(packet_id)?;
        self.sent.get(at).filter(|sent| fits(sent))?;
        let gone = self.sent.remove(at)?;
        self.resends -= usize::from(gone.resend);
        self.bytes = self.bytes.saturating_sub(gone.entry.message.size() as u64);
        Some(gone)
    }

    /// A new connection: all that was sent must be sent again.
    pub(super) fn reconnect(&mut self) {
        for sent in &mut self.sent {
            sent.resend = true;
        }
        self.resends = self.sent.len();
    }

    /// The first that must be sent again.
    pub(super) fn next_resend(&self) -> Option<&SentEntry> {
        if self.resends == 0 {
            return None;
        }
        self.sent.iter().find(|sent| sent.resend)
    }

    /// It was sent again.
    pub(super) fn resent(&mut self, packet_id: u16) {
        if let Some(sent) = self.get_mut(packet_id)
            && std::mem::take(&mut sent.resend)
        {
            self.resends -= 1;
        }
    }

    /// What was never sent goes with the connection (ruling 12).
    pub(super) fn drop_unsent(&mut self) {
        while self.pop_next().is_some() {}
    }

    /// Takes everything: the message, and whether it was sent.
    pub(super) fn take_all(&mut self) -> Vec<(LiveEntry, bool)> {
        let all = std::mem::take(self);
        let sent = all.sent.into_iter().map(|sent| (sent.entry, true));
        sent.chain(all.unsent.into_iter().map(|entry| (entry, false)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry() -> LiveEntry {
        LiveEntry {
            message: Arc::new(Message::new("t", &[], b"x")),
            share: Share {
                qos: isthmus_mqtt::QoS::AtLeastOnce,
                retain: false,
                ids: Vec::new(),
                name: None,
            },
            shared: None,
        }
    }

    fn send(queue: &mut LiveQueue) -> u16 {
        queue.push(entry());
        let id = queue.free_id();
        queue.send_next(id);
        id
    }

    proptest! {
        #[test]
        fn every_id_is_found_once_whatever_the_order(
            start in FIRST_ID - 1..=u16::MAX,
            acks in prop::collection::vec((0usize..8, any::<bool>()), 1..300),
        ) {
            let mut queue = LiveQueue { last_id: start, ..LiveQueue::default() };
            let mut model: Vec<u16> = Vec::new();
            for (at, finish) in acks {
                if finish && !model.is_empty() {
                    let id = model.remove(at % model.len());
                    prop_assert_eq!(queue.finish(id, |_| true).map(|sent| sent.packet_id), Some(id));
                    prop_assert!(queue.finish(id, |_| true).is_none());
                } else {
                    let id = send(&mut queue);
                    prop_assert!(id >= FIRST_ID && !model.contains(&id));
                    model.push(id);
                }
                prop_assert_eq!(queue.len(), model.len());
                for id in &model {
                    prop_assert_eq!(queue.get_mut(*id).map(|sent| sent.packet_id), Some(*id));
                }
            }
        }
    }

    #[test]
    fn an_id_that_is_still_in_use_is_passed_over() {
        let mut queue = LiveQueue {
            last_id: u16::MAX - 1,
            ..LiveQueue::default()
        };
        assert_eq!(send(&mut queue), u16::MAX);
        queue.last_id = u16::MAX - 1;
        assert_eq!(send(&mut queue), FIRST_ID);
        assert!(queue.get_mut(u16::MAX).is_some());
    }

    #[test]
    fn bytes_follow_what_is_there() {
        let mut queue = LiveQueue::default();
        let id = send(&mut queue);
        queue.push(entry());
        queue.push(entry());
        assert!(queue.is_over(1, u64::MAX) && queue.is_over(9, 5));
        queue.drop_unsent();
        assert_eq!(queue.bytes, 2);
        assert!(queue.finish(id, |_| true).is_some());
        assert_eq!((queue.bytes, queue.len()), (0, 0));
    }

    #[test]
    fn after_a_reconnect_what_was_sent_comes_again_in_order() {
        let mut queue = LiveQueue::default();
        let ids = [send(&mut queue), send(&mut queue), send(&mut queue)];
        queue.reconnect();
        queue.finish(ids[1], |_| true);
        let mut again = Vec::new();
        while let Some(id) = queue.next_resend().map(|sent| sent.packet_id) {
            again.push(id);
            queue.resent(id);
        }
        assert_eq!(again, [ids[0], ids[2]]);
    }
}
