//! Retained messages by Topic Name: the cache of `<i>.retained` that every pod holds.
//!
//! A message retained here counts at once, as an overlay, until its own record is read back; in
//! the end the log's order decides on every pod alike. But a pod that has lost a slot may have
//! handed messages to its producer that are written when their publisher has long said more to the
//! next owner: such a record is late, and nobody takes it for the last word.

mod cleared;
mod entry;

use crate::message::Message;
use cleared::Cleared;
use entry::{Entry, Overlay, earlier};
pub use entry::{Standing, Word};
use rustc_hash::FxHashMap;
use std::sync::Arc;

#[derive(Debug, Default)]
struct Node {
    children: FxHashMap<Box<str>, Node>,
    entry: Entry,
}

/// The retained messages.
#[derive(Debug, Default)]
pub struct Retained {
    root: Node,
    messages: usize,
    bytes: u64,
    cleared: Cleared,
}

impl Retained {
    /// Number of messages that a new subscriber could get.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Their bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether one more message of this topic and size is within the limits; replacing counts as
    /// the difference.
    #[must_use]
    pub fn has_room(&self, topic: &str, size: usize, max_messages: u32, max_bytes: u64) -> bool {
        let old = self.get(topic).map_or(0, |m| m.size() as u64);
        let added = usize::from(old == 0);
        self.messages + added <= max_messages as usize
            && self.bytes - old + size as u64 <= max_bytes
    }

    /// The message of a Topic Name.
    #[must_use]
    pub fn get(&self, topic: &str) -> Option<&Arc<Message>> {
        let mut node = &self.root;
        for level in topic.split('/') {
            node = node.children.get(level)?;
        }
        node.entry.current()
    }

    /// Our own change number `seq`, visible at once; `None` clears. Yields the word to write it with.
    pub fn overlay(
        &mut self,
        topic: &str,
        seq: u64,
        word: Option<Word>,
        message: Option<Arc<Message>>,
    ) -> Option<Word> {
        let mut said = word;
        self.change(topic, |entry| {
            // An inbox that was made anew counts anew, and its lives must not seem to be over.
            if earlier(said, entry.word) {
                said = entry.word;
            }
            entry.overlay = Some(Overlay {
                seq,
                word: said,
                message,
            });
        });
        said
    }

    /// A record of the log; `own` is its number where this process wrote it. A late one changes
    /// nothing, and the log must be told what stands.
    pub fn logged(
        &mut self,
        topic: &str,
        own: Option<u64>,
        word: Option<Word>,
        message: Option<Arc<Message>>,
    ) -> Option<Standing> {
        let clears = message.is_none();
        let mut stands = None;
        self.change(topic, |entry| stands = entry.log(own, word, message));
        if clears
            && word.is_some()
            && stands.is_none()
            && let Some(oldest) = self.cleared.add(topic)
        {
            self.change(&oldest, |entry| {
                if entry.logged.is_none() {
                    entry.word = None;
                }
            });
        }
        stands
    }

    /// A change of ours that Kafka refused for good.
    pub fn refused(&mut self, topic: &str, seq: u64) {
        self.change(topic, |entry| {
            entry.overlay.take_if(|overlay| overlay.seq == seq);
        });
    }

    fn change(&mut self, topic: &str, with: impl FnOnce(&mut Entry)) {
        let levels: Vec<&str> = topic.split('/').collect();
        let (mut before, mut after) = (0, 0);
        change_at(
            &mut self.root,
            &levels,
            &mut |entry| {
                before = entry.current().map_or(0, |m| m.size());
            },
            with,
            &mut after,
        );
        self.messages = self.messages + usize::from(after > 0) - usize::from(before > 0);
        self.bytes = self.bytes + after as u64 - before as u64;
    }

    /// Calls `found` with every message whose Topic Name matches a filter and has not expired.
    pub fn matching<'a>(
        &'a self,
        filter: &str,
        now: u64,
        found: &mut impl FnMut(&'a Arc<Message>),
    ) {
        let levels: Vec<&str> = filter.split('/').collect();
        match_at(&self.root, &levels, true, &mut |message| {
            if !message.expired(now) {
                found(message);
            }
        });
    }
}

fn change_at(
    node: &mut Node,
    levels: &[&str],
    before: &mut impl FnMut(&Entry),
    with: impl FnOnce(&mut Entry),
    after: &mut usize,
) {
    let Some((level, rest)) = levels.split_first() else {
        before(&node.entry);
        with(&mut node.entry);
        *after = node.entry.current().map_or(0, |m| m.size());
        return;
    };
    let child = node.children.entry((*level).into()).or_default();
    change_at(child, rest, before, with, after);
    if child.children.is_empty() && child.entry.is_bare() {
        node.children.remove(*level);
    }
}

fn match_at<'a>(
    node: &'a Node,
    levels: &[&str],
    first: bool,
    found: &mut impl FnMut(&'a Arc<Message>),
) {
    // [MQTT-4.7.2-1]
    let hidden = |name: &str| first && name.starts_with('$');
    match levels.split_first() {
        None => {
            if let Some(message) = node.entry.current() {
                found(message);
            }
        }
        Some((&"#", _)) => {
            if !first && let Some(message) = node.entry.current() {
                found(message);
            }
            for (_, child) in node.children.iter().filter(|(name, _)| !hidden(name)) {
                match_at(child, levels, false, found);
            }
        }
        Some((&"+", rest)) => {
            for (_, child) in node.children.iter().filter(|(name, _)| !hidden(name)) {
                match_at(child, rest, false, found);
            }
        }
        Some((level, rest)) => {
            if let Some(child) = node.children.get(*level) {
                match_at(child, rest, false, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(topic: &str) -> Arc<Message> {
        Arc::new(Message::new(topic, b"", b"x"))
    }

    fn found(retained: &Retained, filter: &str) -> Vec<String> {
        let mut topics = Vec::new();
        retained.matching(filter, 0, &mut |m| topics.push(m.topic().to_owned()));
        topics.sort();
        topics
    }

    #[test]
    fn an_overlay_counts_until_its_record_is_read_and_the_log_has_the_last_word() {
        let mut retained = Retained::default();
        retained.overlay("a", 1, None, Some(message("a")));
        assert_eq!(found(&retained, "#"), ["a"]);
        retained.logged("a", None, None, None);
        assert_eq!(
            found(&retained, "#"),
            ["a"],
            "another's record came before ours"
        );
        retained.logged("a", Some(1), None, Some(message("a")));
        retained.logged("a", None, None, None);
        assert_eq!((retained.len(), retained.bytes()), (0, 0));
        assert!(retained.root.children.is_empty());
    }

    fn said(n: u64) -> Option<Arc<Message>> {
        let payload = n.to_string();
        // Every third clears.
        (!n.is_multiple_of(3)).then(|| Arc::new(Message::new("a", b"", payload.as_bytes())))
    }

    #[test]
    fn what_a_former_owner_shows_is_given_up_for_what_the_publisher_said_to_the_next() {
        let mut retained = Retained::default();
        let old = retained.overlay("a", 1, Some(Word::new("p", 4)), said(1));
        assert_eq!(
            retained.logged("a", None, Some(Word::new("q", 9)), said(2)),
            None
        );
        assert_eq!(retained.get("a"), said(1).as_ref(), "another publisher's");
        let new = Word::new("p", 5);
        assert_eq!(retained.logged("a", None, Some(new), said(4)), None);
        assert_eq!(retained.get("a"), said(4).as_ref());
        let stands = retained.logged("a", Some(1), old, said(1));
        assert_eq!(
            stands,
            Some(Standing {
                word: new,
                message: said(4)
            })
        );
        assert_eq!(retained.get("a"), said(4).as_ref());
    }

    #[test]
    fn an_inbox_that_counts_anew_does_not_silence_a_publisher() {
        let mut retained = Retained::default();
        retained.logged("a", None, Some(Word::new("p", 1000)), said(1));
        let word = retained.overlay("a", 1, Some(Word::new("p", 0)), said(2));
        assert_eq!(retained.logged("a", Some(1), word, said(2)), None);
        assert_eq!(retained.get("a"), said(2).as_ref());
    }

    #[test]
    fn what_is_known_of_cleared_topics_is_bounded() {
        let mut retained = Retained::default();
        for topic in 0..5000 {
            let word = Some(Word::new("p", 2));
            retained.logged(&topic.to_string(), None, word, said(1));
            retained.logged(&topic.to_string(), None, word, None);
        }
        assert_eq!(retained.root.children.len(), 4096);
        let late = Some(Word::new("p", 1));
        assert!(retained.logged("4999", None, late, said(1)).is_some());
        assert!(retained.is_empty());
    }

    proptest! {
        /// Each owner's records are in the log in their order, and may be there whenever they like.
        #[test]
        fn the_last_word_to_the_last_owner_stands(owners in prop::collection::vec(0i64..4, 1..30)) {
            let mut retained = Retained::default();
            let mut last = None;
            for (n, owner) in (0u64..).zip(owners) {
                let late = last.is_some_and(|(newest, _)| owner < newest);
                let stands = retained.logged("a", None, Some(Word::new("p", owner)), said(n));
                prop_assert_eq!(stands.is_some(), late);
                last = if late { last } else { Some((owner, n)) };
                let (_, n) = last.unwrap();
                prop_assert_eq!(retained.get("a").cloned(), said(n));
                prop_assert_eq!(retained.len(), usize::from(said(n).is_some()));
                prop_assert!(stands.is_none_or(|stands| stands.message == said(n)));
            }
        }

        #[test]
        fn matching_agrees_with_the_plain_matcher(
            topics in prop::collection::btree_set("[ab$]{0,1}(/[ab]{0,1}){0,3}", 0..10),
            filter in "(#|([ab+]|\\$)(/[ab+]){0,2}(/#)?)",
        ) {
            let mut retained = Retained::default();
            let topics: Vec<_> = topics.into_iter().filter(|t| !t.is_empty()).collect();
            for (seq, topic) in topics.iter().enumerate() {
                retained.overlay(topic, seq as u64, None, Some(message(topic)));
            }
            let mut want: Vec<String> = topics.iter().filter(|t| isthmus_mqtt::topic::matches(&filter, t)).cloned().collect();
            want.sort();
            prop_assert_eq!(found(&retained, &filter), want);
            prop_assert_eq!(retained.len(), topics.len());
        }
    }
}
