//! What waits for one instance's Kafka, put together: all topics in few calls, all of the directory in
//! one flush. Pure but for the channels that the answers go to.
//!
//! Invariant: what is written to the directory is compared with what the requests before it leave there,
//! so that two requests in one flush come out as if each had its own.

use std::collections::{BTreeMap, BTreeSet};

use isthmus_kafka::directory::Entry;
use isthmus_kafka::provision::TopicSpec;
use tokio::sync::oneshot;

use super::{Made, Problem};
use crate::directory::changes;

/// Where an answer goes. One that nobody waits for any more is none.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Problem>>;

/// What can be asked of an instance's Kafka.
pub(super) enum Request {
    Ensure {
        specs: Vec<TopicSpec>,
        reply: Reply<Made>,
    },
    Entry {
        key: String,
        reply: Reply<Option<Entry>>,
    },
    Write {
        entries: Vec<Entry>,
        reply: Reply<usize>,
    },
    Sweep {
        keep: BTreeSet<String>,
        reply: Reply<usize>,
    },
    Delete {
        topics: Vec<String>,
        reply: Reply<()>,
    },
}

/// What is to be in the directory, or no longer.
pub(super) enum Wish {
    /// These entries.
    Have(Vec<Entry>),
    /// Of the operator's entries only these.
    Keep(BTreeSet<String>),
}

/// All that waited at one time, by what it needs.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) ensures: Vec<(Vec<TopicSpec>, Reply<Made>)>,
    pub(super) reads: Vec<(String, Reply<Option<Entry>>)>,
    /// In the order asked: a sweep knows nothing of what is written after it was asked for.
    pub(super) wishes: Vec<(Wish, Reply<usize>)>,
    pub(super) deletes: Vec<(Vec<String>, Reply<()>)>,
}

impl Batch {
    pub(super) fn of(requests: impl IntoIterator<Item = Request>) -> Self {
        let mut batch = Self::default();
        for request in requests {
            match request {
                Request::Ensure { specs, reply } => batch.ensures.push((specs, reply)),
                Request::Entry { key, reply } => batch.reads.push((key, reply)),
                Request::Write { entries, reply } => {
                    batch.wishes.push((Wish::Have(entries), reply));
                }
                Request::Sweep { keep, reply } => batch.wishes.push((Wish::Keep(keep), reply)),
                Request::Delete { topics, reply } => batch.deletes.push((topics, reply)),
            }
        }
        batch
    }

    /// The same answer for all.
    pub(super) fn refuse(self, problem: &Problem) {
        for (_, reply) in self.ensures {
            let _ = reply.send(Err(problem.clone()));
        }
        for (_, reply) in self.reads {
            let _ = reply.send(Err(problem.clone()));
        }
        for (_, reply) in self.wishes {
            let _ = reply.send(Err(problem.clone()));
        }
        for (_, reply) in self.deletes {
            let _ = reply.send(Err(problem.clone()));
        }
    }
}

/// How many of the waiting requests go into the next call: at most so many topics, but one request at
/// the least.
pub(super) fn fitting(sizes: impl IntoIterator<Item = usize>, most: usize) -> usize {
    let mut sum = 0;
    sizes
        .into_iter()
        .take_while(|size| {
            let first = sum == 0;
            sum += size;
            first || sum <= most
        })
        .count()
}

/// What is to be written for each wish.
pub(super) type Writes = Vec<Result<Vec<Entry>, Problem>>;

/// What is to be written for each wish, and the directory as it is after that.
pub(super) fn writes<'a>(
    mut directory: BTreeMap<String, Entry>,
    wishes: impl IntoIterator<Item = &'a Wish>,
) -> (Writes, BTreeMap<String, Entry>) {
    let wishes = wishes.into_iter().map(|wish| {
        let due = due(&directory, wish)?;
        for entry in &due {
            apply(&mut directory, entry);
        }
        Ok(due)
    });
    let due = wishes.collect();
    (due, directory)
}

fn due(directory: &BTreeMap<String, Entry>, wish: &Wish) -> Result<Vec<Entry>, Problem> {
    let entries = match wish {
        Wish::Keep(keep) => return Ok(changes(directory, &[], keep).writes),
        Wish::Have(entries) => entries,
    };
    let found = |entry: &Entry| {
        let key = entry.encode().0;
        let there = directory.get(&key)?;
        Some((key, there.clone()))
    };
    // Only what these entries are about is compared.
    let there: BTreeMap<String, Entry> = entries.iter().filter_map(found).collect();
    let is_new = |entry: &&Entry| {
        let (key, value) = entry.encode();
        value.is_some() || there.contains_key(&key)
    };
    let entries: Vec<Entry> = entries.iter().filter(is_new).cloned().collect();
    let found = changes(&there, &entries, &BTreeSet::new());
    let Some(conflict) = found.conflicts.first() else {
        return Ok(found.writes);
    };
    let parent = |entry: &Entry| matches!(entry, Entry::Parent(..));
    Err(Problem {
        reason: match entries.iter().any(parent) {
            true => "TopicClaimed",
            false => "UsernameTaken",
        },
        message: conflict.clone(),
        stalled: true,
    })
}

fn apply(directory: &mut BTreeMap<String, Entry>, entry: &Entry) {
    let (key, value) = entry.encode();
    match value {
        Some(_) => drop(directory.insert(key, entry.clone())),
        None => drop(directory.remove(&key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{existing, user};
    use isthmus_kafka::directory::ManagedBy;

    fn ours(name: &str, hash: &str) -> Entry {
        user(name, hash, ManagedBy::Operator)
    }

    #[test]
    fn what_is_there_is_not_written_again() {
        let there = existing(&[ours("a", "1"), ours("b", "1")]);
        let wishes = [
            Wish::Have(vec![ours("a", "1")]),
            Wish::Have(vec![ours("b", "2")]),
        ];
        let (due, after) = writes(there, &wishes);
        assert_eq!(due, [Ok(vec![]), Ok(vec![ours("b", "2")])]);
        assert_eq!(after, existing(&[ours("a", "1"), ours("b", "2")]));
    }

    #[test]
    fn a_later_request_sees_what_an_earlier_one_writes() {
        let wishes = [
            Wish::Have(vec![ours("a", "1")]),
            Wish::Have(vec![ours("a", "1")]),
            Wish::Keep(BTreeSet::new()),
            Wish::Have(vec![ours("b", "1")]),
        ];
        let (due, after) = writes(BTreeMap::new(), &wishes);
        let counts: Vec<usize> = due.iter().map(|due| due.as_ref().unwrap().len()).collect();
        assert_eq!(counts, [1, 0, 1, 1]);
        assert_eq!(after, existing(&[ours("b", "1")]));
    }

    #[test]
    fn one_conflict_leaves_the_others_alone_and_is_not_written() {
        let there = existing(&[user("a", "1", ManagedBy::Api)]);
        let wishes = [
            Wish::Have(vec![ours("a", "2")]),
            Wish::Have(vec![ours("b", "1")]),
        ];
        let (due, after) = writes(there, &wishes);
        let problem = due[0].as_ref().unwrap_err();
        assert_eq!((problem.reason, problem.stalled), ("UsernameTaken", true));
        assert_eq!(due[1], Ok(vec![ours("b", "1")]));
        assert_eq!(after.get("user/a"), Some(&user("a", "1", ManagedBy::Api)));
    }

    #[test]
    fn what_is_not_there_is_not_removed() {
        let gone = || Wish::Have(vec![Entry::Parent("t".to_owned(), None)]);
        let (due, _) = writes(BTreeMap::new(), &[gone()]);
        assert_eq!(due, [Ok(vec![])]);
    }

    #[test]
    fn a_sweep_takes_only_the_operators() {
        let there = existing(&[
            ours("a", "1"),
            ours("b", "1"),
            user("c", "1", ManagedBy::Api),
        ]);
        let keep = Wish::Keep(BTreeSet::from(["user/b".to_owned()]));
        let (due, after) = writes(there, &[keep]);
        assert_eq!(due, [Ok(vec![Entry::User("a".to_owned(), None)])]);
        let left: Vec<&str> = after.keys().map(String::as_str).collect();
        assert_eq!(left, ["user/b", "user/c"]);
    }

    #[test]
    fn a_call_has_a_bound_and_never_nothing() {
        assert_eq!(fitting([1; 300], 200), 200);
        assert_eq!(fitting([500, 1], 200), 1);
        assert_eq!(fitting([11, 189, 1], 200), 2);
        assert_eq!(fitting([], 200), 0);
    }
}
