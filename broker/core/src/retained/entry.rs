//! What is known of one topic: what the log says and by whose word, and what this process has said
//! since. A late record changes nothing of it.

use crate::hash;
use crate::message::Message;
use std::sync::Arc;

/// Whose word a retained message is, and how late it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    publisher: u32,
    life: i64,
}

impl Word {
    /// Of a publisher, at the owner of its slot that became so by the inbox record of this offset: the
    /// next owner's is greater.
    #[must_use]
    pub fn new(publisher: &str, life: i64) -> Self {
        let publisher = hash::murmur2(publisher.as_bytes());
        Self { publisher, life }
    }

    /// See [`Word::new`].
    #[must_use]
    pub fn life(self) -> i64 {
        self.life
    }

    /// The publisher's slot.
    #[must_use]
    pub fn slot(self, slots: u16) -> u16 {
        hash::slot_of(self.publisher, slots)
    }

    /// Whether the same publisher had gone on elsewhere when it gave `other`.
    fn is_before(self, other: Self) -> bool {
        self.publisher == other.publisher && self.life < other.life
    }
}

/// What stands though a late record came behind it: to be written again.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Whose word it is.
    pub word: Word,
    /// None: there is no retained message.
    pub message: Option<Arc<Message>>,
}

/// A change of this process.
#[derive(Debug)]
pub(super) struct Overlay {
    pub(super) seq: u64,
    pub(super) word: Option<Word>,
    /// None clears.
    pub(super) message: Option<Arc<Message>>,
}

#[derive(Debug, Default)]
pub(super) struct Entry {
    /// As the log says.
    pub(super) logged: Option<Arc<Message>>,
    /// Whose word that is, where it is known.
    pub(super) word: Option<Word>,
    /// Ours, not yet read back.
    pub(super) overlay: Option<Overlay>,
}

impl Entry {
    pub(super) fn current(&self) -> Option<&Arc<Message>> {
        match &self.overlay {
            Some(overlay) => overlay.message.as_ref(),
            None => self.logged.as_ref(),
        }
    }

    pub(super) fn is_bare(&self) -> bool {
        self.logged.is_none() && self.word.is_none() && self.overlay.is_none()
    }

    /// Takes a record of the log, unless it is late.
    pub(super) fn log(
        &mut self,
        own: Option<u64>,
        word: Option<Word>,
        message: Option<Arc<Message>>,
    ) -> Option<Standing> {
        let over = |overlay: &Overlay| own == Some(overlay.seq) || earlier(overlay.word, word);
        if self.overlay.as_ref().is_some_and(over) {
            self.overlay = None;
        }
        if let Some(stands) = self.word.filter(|_| earlier(word, self.word)) {
            return Some(Standing {
                word: stands,
                message: self.logged.clone(),
            });
        }
        (self.logged, self.word) = (message, word);
        None
    }
}

pub(super) fn earlier(one: Option<Word>, other: Option<Word>) -> bool {
    one.zip(other)
        .is_some_and(|(one, other)| one.is_before(other))
}
