//! Which changes may be written now: those about partitions that are ours, and none of a time
//! before a partition was given away.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::super::{Ask, Change, Done, TopicOffset};
use super::Worker;

fn is_about(change: &Change, topic: &str, partition: i32) -> bool {
    let mut offsets = change.offsets.iter();
    offsets.any(|o| o.partition == partition && **o.owner_topic() == *topic)
}

impl Worker {
    /// Takes what has come since the last look; how many changes of the queue have been looked at. What
    /// is ours may be ours again: whoever says so has it forgotten before.
    pub(super) fn take_more(&mut self, asked: &Receiver<Ask>) -> usize {
        let mut seen = self.queue.len();
        while let Ok(ask) = asked.try_recv() {
            if let Ask::Forget(topic, partition) = &ask {
                let of_seen = self.queue.iter().take(seen);
                seen -= of_seen
                    .filter(|change| is_about(change, topic, *partition))
                    .count();
            }
            self.take(ask);
        }
        seen
    }

    /// Takes out all that was submitted about a partition so far.
    pub(super) fn forget(&mut self, topic: &Arc<str>, partition: i32) {
        let about = |change: &Change| is_about(change, topic, partition);
        let held = std::mem::take(&mut self.held);
        let (mut out, held): (VecDeque<_>, VecDeque<_>) = held.into_iter().partition(about);
        self.held = held;
        let suspects = self.suspects;
        for (index, change) in std::mem::take(&mut self.queue).into_iter().enumerate() {
            if about(&change) {
                self.suspects -= usize::from(index < suspects);
                out.push_back(change);
            } else {
                self.queue.push_back(change);
            }
        }
        for change in out {
            self.settle(&change);
            (self.done)(change.token, Done::Fenced(change));
        }
        self.went_on();
    }

    /// Takes out what is about partitions that are not ours; all, when there is no membership.
    pub(super) fn answer_fenced(&mut self, all: bool) {
        let ours = |offset: &TopicOffset| self.group.owns(offset.owner_topic(), offset.partition);
        if !all
            && self
                .queue
                .iter()
                .all(|change| change.offsets.iter().all(ours))
        {
            return;
        }
        let suspects = self.suspects;
        let mut kept = VecDeque::with_capacity(self.queue.len());
        for (index, change) in std::mem::take(&mut self.queue).into_iter().enumerate() {
            let ours =
                |offset: &TopicOffset| self.group.owns(offset.owner_topic(), offset.partition);
            if !all && change.offsets.iter().all(ours) {
                kept.push_back(change);
                continue;
            }
            self.settle(&change);
            (self.done)(change.token, Done::Fenced(change));
            if index < suspects {
                self.suspects -= 1;
            }
        }
        self.queue = kept;
        self.went_on();
    }

    /// Sets aside what is about partitions that are not ours, and takes up what is ours again; in
    /// the order of submission for each partition, so by one look at what is ours.
    pub(super) fn hold(&mut self, all: bool) {
        let owned: HashSet<_> = self.group.owned().into_iter().collect();
        let ours = |change: &Change| {
            !all && change
                .offsets
                .iter()
                .all(|offset| owned.contains(&(offset.owner_topic().clone(), offset.partition)))
        };
        if self.held.is_empty() && self.queue.iter().all(ours) {
            return;
        }
        let older = self.held.len();
        let changes: Vec<Change> = self.held.drain(..).chain(self.queue.drain(..)).collect();
        // Whatever is taken up again before suspects is a suspect, too.
        let mut suspects = 0;
        for (index, change) in changes.into_iter().enumerate() {
            if !ours(&change) {
                self.held.push_back(change);
                continue;
            }
            if self.suspects > 0 && index < older + self.suspects {
                suspects += 1;
            }
            self.queue.push_back(change);
        }
        self.suspects = suspects;
        if self.queue.is_empty() {
            self.maker.shared.progress.went_on(false);
        }
    }
}
