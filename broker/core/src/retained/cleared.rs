//! The topics that were cleared last, of which it is still known by whose word: a late record must
//! not bring back what is gone. Bounded.

use std::collections::VecDeque;

/// How many.
const MOST: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Cleared {
    topics: VecDeque<Box<str>>,
}

impl Cleared {
    /// One more; yields the one that it is too many for.
    pub(super) fn add(&mut self, topic: &str) -> Option<Box<str>> {
        self.topics.push_back(topic.into());
        (self.topics.len() > MOST).then(|| self.topics.pop_front())?
    }
}
