//! Retained messages by Topic Name: the cache of `<i>.retained` that every pod holds.
//!
//! A message retained here counts at once, as an overlay, until its own record is read back; in
//! the end the log's order decides on every pod alike.

use crate::message::Message;
use rustc_hash::FxHashMap;
use std::sync::Arc;

#[derive(Debug, Default)]
struct Slot {
    /// As the log says.
    logged: Option<Arc<Message>>,
    /// Ours, not yet read back: its number and the message, or a deletion.
    overlay: Option<(u64, Option<Arc<Message>>)>,
}

impl Slot {
    fn current(&self) -> Option<&Arc<Message>> {
        match &self.overlay {
            Some((_, overlay)) => overlay.as_ref(),
            None => self.logged.as_ref(),
        }
    }

    fn is_bare(&self) -> bool {
        self.logged.is_none() && self.overlay.is_none()
    }
}

#[derive(Debug, Default)]
struct Node {
    children: FxHashMap<Box<str>, Node>,
    slot: Slot,
}

/// The retained messages.
#[derive(Debug, Default)]
pub struct Retained {
    root: Node,
    messages: usize,
    bytes: u64,
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
        node.slot.current()
    }

    /// Our own change number `seq`, visible at once; `None` clears.
    pub fn overlay(&mut self, topic: &str, seq: u64, message: Option<Arc<Message>>) {
        self.change(topic, |slot| slot.overlay = Some((seq, message)));
    }

    /// A record of the log; `own` is its number where this process wrote it.
    pub fn logged(&mut self, topic: &str, own: Option<u64>, message: Option<Arc<Message>>) {
        self.change(topic, |slot| {
            slot.logged = message;
            if slot
                .overlay
                .as_ref()
                .is_some_and(|(seq, _)| own == Some(*seq))
            {
                slot.overlay = None;
            }
        });
    }

    /// A change of ours that Kafka refused for good.
    pub fn refused(&mut self, topic: &str, seq: u64) {
        self.change(topic, |slot| {
            if slot.overlay.as_ref().is_some_and(|(have, _)| *have == seq) {
                slot.overlay = None;
            }
        });
    }

    fn change(&mut self, topic: &str, with: impl FnOnce(&mut Slot)) {
        let levels: Vec<&str> = topic.split('/').collect();
        let (mut before, mut after) = (0, 0);
        change_at(
            &mut self.root,
            &levels,
            &mut |slot| {
                before = slot.current().map_or(0, |m| m.size());
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
    before: &mut impl FnMut(&Slot),
    with: impl FnOnce(&mut Slot),
    after: &mut usize,
) {
    let Some((level, rest)) = levels.split_first() else {
        before(&node.slot);
        with(&mut node.slot);
        *after = node.slot.current().map_or(0, |m| m.size());
        return;
    };
    let child = node.children.entry((*level).into()).or_default();
    change_at(child, rest, before, with, after);
    if child.children.is_empty() && child.slot.is_bare() {
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
            if let Some(message) = node.slot.current() {
                found(message);
            }
        }
        Some((&"#", _)) => {
            if !first && let Some(message) = node.slot.current() {
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
        retained.overlay("a", 1, Some(message("a")));
        assert_eq!(found(&retained, "#"), ["a"]);
        retained.logged("a", None, None);
        assert_eq!(
            found(&retained, "#"),
            ["a"],
            "another's record came before ours"
        );
        retained.logged("a", Some(1), Some(message("a")));
        retained.logged("a", None, None);
        assert_eq!((retained.len(), retained.bytes()), (0, 0));
        assert!(retained.root.children.is_empty());
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_plain_matcher(
            topics in prop::collection::btree_set("[ab$]{0,1}(/[ab]{0,1}){0,3}", 0..10),
            filter in "(#|([ab+]|\\$)(/[ab+]){0,2}(/#)?)",
        ) {
            let mut retained = Retained::default();
            let topics: Vec<_> = topics.into_iter().filter(|t| !t.is_empty()).collect();
            for (seq, topic) in topics.iter().enumerate() {
                retained.overlay(topic, seq as u64, Some(message(topic)));
            }
            let mut want: Vec<String> = topics.iter().filter(|t| isthmus_mqtt::topic::matches(&filter, t)).cloned().collect();
            want.sort();
            prop_assert_eq!(found(&retained, &filter), want);
            prop_assert_eq!(retained.len(), topics.len());
        }
    }
}
