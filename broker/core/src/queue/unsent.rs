//! What was never sent, in blocks: 16 bytes a message however long the queue is, where doubling
//! would cost up to 32 and copy all of it. A short queue is one small block, an empty one nothing.

use super::Entry;
use std::collections::VecDeque;

/// Entries of a full block.
const BLOCK: usize = 4096;
/// Room that an empty queue keeps.
const KEPT: usize = 64;

/// A queue of entries.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    /// Not empty while there is anything.
    front: VecDeque<Entry>,
    /// Full, but for the last.
    rest: VecDeque<VecDeque<Entry>>,
}

impl Unsent {
    pub(super) fn len(&self) -> usize {
        let last = self.rest.back().map_or(0, VecDeque::len);
        self.front.len() + self.rest.len().saturating_sub(1) * BLOCK + last
    }

    pub(super) fn is_empty(&self) -> bool {
        self.front.is_empty()
    }

    pub(super) fn front(&self) -> Option<&Entry> {
        self.front.front()
    }

    /// The nth, without a walk.
    pub(super) fn get(&self, nth: usize) -> Option<&Entry> {
        match nth.checked_sub(self.front.len()) {
            None => self.front.get(nth),
            Some(behind) => self.rest.get(behind / BLOCK)?.get(behind % BLOCK),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> + '_ {
        self.front.iter().chain(self.rest.iter().flatten())
    }

    pub(super) fn push_back(&mut self, entry: Entry) {
        if self.rest.is_empty() && self.front.len() < BLOCK {
            return self.front.push_back(entry);
        }
        match self.rest.back_mut().filter(|last| last.len() < BLOCK) {
            Some(last) => last.push_back(entry),
            None => self.rest.push_back(VecDeque::from([entry])),
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<Entry> {
        let entry = self.front.pop_front()?;
        if self.front.is_empty() {
            match self.rest.pop_front() {
                Some(next) => self.front = next,
                None if self.front.capacity() > KEPT => self.front = VecDeque::new(),
                None => {}
            }
            if self.rest.is_empty() && self.rest.capacity() > 0 {
                self.rest = VecDeque::new();
            }
        }
        Some(entry)
    }
}

impl PartialEq for Unsent {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_mqtt::QoS;

    fn entry(offset: i64) -> Entry {
        Entry::new(offset, 10, QoS::AtLeastOnce, false, None)
    }

    /// The same as the plain queue, across the bounds of blocks.
    #[test]
    fn it_is_a_queue() {
        let (mut blocks, mut plain) = (Unsent::default(), VecDeque::new());
        let mut offset = 0;
        for (pushes, pops) in [
            (3, 3),
            (BLOCK, 1),
            (1, 0),
            (3 * BLOCK, BLOCK),
            (7, 3 * BLOCK),
            (5, BLOCK),
        ] {
            for _ in 0..pushes {
                offset += 1;
                blocks.push_back(entry(offset));
                plain.push_back(entry(offset));
            }
            for _ in 0..pops {
                assert_eq!(blocks.pop_front(), plain.pop_front());
            }
            assert_eq!(blocks.len(), plain.len());
            assert_eq!(blocks.is_empty(), plain.is_empty());
            assert_eq!(blocks.front(), plain.front());
            assert!(blocks.iter().eq(plain.iter()));
            for nth in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, plain.len()] {
                assert_eq!(blocks.get(nth), plain.get(nth), "{nth}");
            }
        }
        assert!(blocks.is_empty());
        assert!(blocks.front.capacity() <= KEPT && blocks.rest.capacity() == 0);
    }
}
