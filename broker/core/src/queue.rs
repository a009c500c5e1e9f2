//! The durable queue of one persistent session: where its messages stand in the slot's inbox.
//!
//! A message is an offset with size, QoS and expiry, 16 bytes; its body is in Kafka. Its packet id
//! follows from the offset, so that a queue rebuilt from the changelog and the inbox gives every
//! message the id it had before (invariant 3).

mod entry;
mod unsent;

pub use entry::{Entry, State};
use isthmus_mqtt::QoS;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use unsent::Unsent;

/// Entries that share one record of the changelog.
pub const CHUNK: u64 = 64;
/// Packet ids 1 to this many belong to the durable queue, those above to live deliveries.
pub const DURABLE_IDS: u64 = 32_767;

/// The queue: a window of messages sent and not acknowledged, and those never sent behind it.
#[derive(Debug, Default)]
pub struct Queue {
    /// Sent or released, ascending; as long as the in-flight window.
    window: VecDeque<(u64, Entry)>,
    /// Sequence number of the first of `unsent`.
    head: u64,
    unsent: Unsent,
    bytes: u64,
    dirty: BTreeSet<u64>,
}

/// The packet id of the message at an inbox offset. A replay that gives a session other messages
/// than before the crash (rights have changed, a shared subscription chose another member) still
/// never gives one message's id to another.
#[must_use]
pub fn packet_id(offset: i64) -> u16 {
    u16::try_from(offset.cast_unsigned() % DURABLE_IDS + 1).unwrap_or(1)
}

fn gone() -> Entry {
    let mut gone = Entry::new(0, 0, QoS::AtLeastOnce, false, None);
    gone.set_state(State::Done);
    gone
}

impl Queue {
    /// A queue as the changelog tells it: the next sequence number, and the entries of each chunk
    /// from `chunk * CHUNK` on.
    #[must_use]
    pub fn restore(next: u64, chunks: &BTreeMap<u64, Vec<Entry>>) -> Self {
        let mut queue = Self {
            head: next,
            ..Self::default()
        };
        for (chunk, entries) in chunks {
            for (seq, entry) in (chunk * CHUNK..).zip(entries) {
                match entry.state() {
                    State::Done => continue,
                    _ if seq >= next => continue,
                    State::Sent | State::Released => queue.window.push_back((seq, *entry)),
                    State::Queued => {
                        if queue.unsent.is_empty() {
                            queue.head = seq;
                        }
                        // What is unsent has no holes; were there one, it would keep its place.
                        while queue.next() < seq {
                            queue.unsent.push_back(gone());
                        }
                        queue.unsent.push_back(*entry);
                    }
                }
                queue.bytes += u64::from(entry.size);
            }
        }
        queue
    }

    /// The sequence number that the next message will get.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.head + self.unsent.len() as u64
    }

    /// The oldest message never sent.
    #[must_use]
    pub fn head(&self) -> Option<(u64, Entry)> {
        self.unsent.front().map(|entry| (self.head, *entry))
    }

    /// Messages not acknowledged, sent or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.window.len() + self.unsent.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the messages not acknowledged.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Sent or released, oldest first.
    pub fn window(&self) -> impl Iterator<Item = (u64, Entry)> + '_ {
        self.window.iter().copied()
    }

    /// Offsets of what was never sent, oldest first.
    pub fn unsent(&self) -> impl Iterator<Item = (u64, Entry)> + '_ {
        (self.head..).zip(self.unsent.iter().copied())
    }

    /// The sequence number and state behind a packet id that a client names.
    #[must_use]
    pub fn find(&self, id: u16) -> Option<(u64, Entry)> {
        self.window
            .iter()
            .copied()
            .find(|(_, entry)| packet_id(entry.offset()) == id)
    }

    /// Whether the oldest unsent message must wait: its id is that of a message in the window.
    #[must_use]
    pub fn head_waits(&self) -> bool {
        self.unsent
            .front()
            .is_some_and(|entry| self.find(packet_id(entry.offset())).is_some())
    }

    /// Appends a message and returns how many of the oldest unsent ones had to go.
    pub fn push(&mut self, entry: Entry, max_messages: usize, max_bytes: u64) -> usize {
        self.dirty.insert(self.next() / CHUNK);
        self.unsent.push_back(entry);
        self.bytes += u64::from(entry.size);
        let mut dropped = 0;
        while self.unsent.len() > max_messages.max(1)
            || (self.bytes > max_bytes && self.unsent.len() > 1)
        {
            self.pop_head();
            dropped += 1;
        }
        dropped
    }

    /// Drops the oldest unsent message.
    pub fn pop_head(&mut self) {
        if let Some(entry) = self.unsent.pop_front() {
            self.bytes = self.bytes.saturating_sub(u64::from(entry.size));
            self.dirty.insert(self.head / CHUNK);
            self.head += 1;
        }
    }

    /// Moves the oldest unsent message into the window.
    pub fn send_head(&mut self) {
        if let Some(mut entry) = self.unsent.pop_front() {
            entry.set_state(State::Sent);
            self.window.push_back((self.head, entry));
            self.dirty.insert(self.head / CHUNK);
            self.head += 1;
        }
    }

    /// PUBREC: the body is the receiver's, only the id is still owed.
    pub fn release(&mut self, seq: u64) {
        if let Some((_, entry)) = self.window.iter_mut().find(|(s, _)| *s == seq) {
            entry.set_state(State::Released);
            self.dirty.insert(seq / CHUNK);
        }
    }

    /// Acknowledged, or lost from the log.
    pub fn finish(&mut self, seq: u64) {
        if let Some(at) = self.window.iter().position(|(s, _)| *s == seq)
            && let Some((_, entry)) = self.window.remove(at)
        {
            self.bytes = self.bytes.saturating_sub(u64::from(entry.size));
            self.dirty.insert(seq / CHUNK);
        }
    }

    /// After a crash it is not known how much was sent: what may have been counts as sent, so
    /// that it is repeated with DUP and under its id.
    pub fn assume_sent(&mut self, window: usize) {
        while self.window.len() < window && !self.unsent.is_empty() && !self.head_waits() {
            self.send_head();
        }
    }

    /// Whether the oldest unsent message has expired [MQTT-3.3.2-5].
    #[must_use]
    pub fn head_expired(&self, now: u64) -> bool {
        self.unsent
            .front()
            .is_some_and(|entry| entry.state() == State::Done || entry.expired(now))
    }

    /// Whether the changelog lags behind.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Chunks changed since the last call, with the entries they now hold; `None` deletes.
    pub fn take_dirty(&mut self) -> Vec<(u64, Option<Vec<Entry>>)> {
        let chunks = std::mem::take(&mut self.dirty);
        chunks
            .into_iter()
            .map(|chunk| (chunk, self.chunk(chunk)))
            .collect()
    }

    fn chunk(&self, chunk: u64) -> Option<Vec<Entry>> {
        let start = chunk * CHUNK;
        let mut entries = Vec::new();
        let sent = self
            .window
            .iter()
            .copied()
            .filter(|(seq, _)| seq / CHUNK == chunk);
        let skip = usize::try_from(start.saturating_sub(self.head)).unwrap_or(usize::MAX);
        let unsent = (skip..)
            .map_while(|nth| Some((self.head + nth as u64, *self.unsent.get(nth)?)))
            .take_while(|(seq, _)| seq / CHUNK == chunk);
        for (seq, entry) in sent.chain(unsent) {
            while start + (entries.len() as u64) < seq {
                entries.push(gone());
            }
            entries.push(entry);
        }
        (!entries.is_empty()).then_some(entries)
    }

    /// Every chunk that the changelog may hold, for the end of a session.
    #[must_use]
    pub fn all_chunks(&self) -> BTreeSet<u64> {
        let live = self
            .window
            .iter()
            .map(|(seq, _)| *seq)
            .chain(self.unsent().map(|(seq, _)| seq));
        live.map(|seq| seq / CHUNK)
            .chain(self.dirty.iter().copied())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(offset: i64) -> Entry {
        Entry::new(offset, 10, QoS::AtLeastOnce, false, None)
    }

    #[test]
    fn an_entry_is_16_bytes() {
        assert_eq!(size_of::<Entry>(), 16);
    }

    #[test]
    fn past_the_limit_the_oldest_unsent_goes() {
        let mut queue = Queue::default();
        for offset in 0..4 {
            assert_eq!(queue.push(entry(offset), 4, 1000), 0);
        }
        queue.send_head();
        for offset in 4..7 {
            queue.push(entry(offset), 4, 1000);
        }
        assert_eq!(queue.find(packet_id(0)).map(|(_, e)| e.offset()), Some(0));
        let offsets: Vec<i64> = queue.unsent().map(|(_, e)| e.offset()).collect();
        assert_eq!(offsets, [3, 4, 5, 6]);
    }

    proptest! {
        /// Whatever happened, what the changelog was told gives the same queue again.
        #[test]
        fn the_changelog_gives_the_queue_again(ops in prop::collection::vec((0u8..5, 0usize..20), 1..400)) {
            let mut queue = Queue::default();
            let mut log: BTreeMap<u64, Vec<Entry>> = BTreeMap::new();
            let mut offset = 0;
            for (op, n) in ops {
                let nth = queue.window().nth(n).map(|(seq, _)| seq);
                match (op, nth) {
                    (0, _) => for _ in 0..n { offset += 1; queue.push(entry(offset), 50, 10_000); },
                    (1, _) => queue.send_head(),
                    (2, Some(seq)) => queue.finish(seq),
                    (3, Some(seq)) => queue.release(seq),
                    _ => for (chunk, entries) in queue.take_dirty() {
                        match entries { Some(e) => { log.insert(chunk, e); } None => { log.remove(&chunk); } }
                    },
                }
            }
            for (chunk, entries) in queue.take_dirty() {
                match entries { Some(e) => { log.insert(chunk, e); } None => { log.remove(&chunk); } }
            }
            let again = Queue::restore(queue.next(), &log);
            prop_assert_eq!(again.next(), queue.next());
            prop_assert_eq!(&again.window, &queue.window);
            prop_assert_eq!(&again.unsent, &queue.unsent);
            prop_assert_eq!((again.len(), again.bytes()), (queue.len(), queue.bytes()));
            let kept: BTreeSet<u64> = log.keys().copied().collect();
            prop_assert_eq!(kept, queue.all_chunks());
        }
    }
}
