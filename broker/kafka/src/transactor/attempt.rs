//! One transaction, from begin to commit, and what an error in it means.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::producer::Producer as _;
use rdkafka::{Offset, TopicPartitionList};

use super::Change;
use super::session::{Failed, Session};
use crate::failpoint::hit;
use crate::producer::permanent;
use crate::support::code;

/// Longer than a transaction may last: whatever is not reported by then belongs to a dead session.
const REPORTED: Duration = Duration::from_secs(15);
/// One call to the coordinator; it goes on with the next.
const CALL: Duration = Duration::from_secs(2);
/// How long adding offsets is repeated; a new producer instead takes about a second.
const OFFSETS: Duration = Duration::from_secs(3);
/// How long a commit is repeated.
const COMMITS: Duration = Duration::from_secs(20);
/// An abort that takes longer is left to the next session.
const ABORT: Duration = Duration::from_secs(1);

/// How a transaction ended.
pub(super) enum Ended {
    /// All of it is visible.
    Committed,
    /// None of it is; the session is as good as new.
    Aborted(Code),
    /// None of it is, once a new session has ended it.
    Broken(Code),
    /// None of it is, once a new session has ended it; Kafka refuses a record of one of these
    /// changes for good.
    Refused {
        suspects: BTreeSet<usize>,
        code: Code,
    },
    /// The commit was asked for, and the answer was lost.
    Unknown(Lost),
}

/// Where to find out whether a transaction was committed.
pub(super) struct Lost {
    /// A record of it, with its place in the log.
    pub(super) place: Option<(String, i32, i64)>,
    /// What it wrote beside its offsets, and one of them.
    pub(super) mark: String,
    pub(super) offset: Option<(Arc<str>, i32)>,
}

/// Runs one transaction with these changes.
pub(super) fn run(
    session: &Session,
    changes: &[&Change],
    group: &Arc<ConsumerGroupMetadata>,
    mark: &str,
    at: &str,
) -> Ended {
    if let Err(error) = session.begin() {
        return Ended::Broken(code(&error));
    }
    hit(at, "begun");
    for (index, change) in changes.iter().enumerate() {
        for record in &change.records {
            if let Err(code) = session.send(index, record) {
                return match refused(code) {
                    true => refuse(session, [(index, code, record.topic.as_str())]),
                    false => Ended::Broken(code),
                };
            }
        }
    }
    hit(at, "sent");
    if !session.reported(Instant::now() + REPORTED) {
        return Ended::Broken(Code::OperationTimedOut);
    }
    let (failed, place) = session.outcome();
    if let Some(ended) = judge(session, &failed) {
        return ended;
    }
    hit(at, "stored");
    let offsets = offsets(changes);
    if let Some(ended) = send_offsets(session, &offsets, group, mark, changes) {
        return ended;
    }
    hit(at, "offsets");
    let committed = session.call("committing", COMMITS, |client| {
        client.commit_transaction(CALL)
    });
    hit(at, "committed");
    match committed {
        Ok(()) => Ended::Committed,
        // Even an error that calls for an abort may follow a commit that was done.
        Err(_) => Ended::Unknown(Lost {
            place,
            mark: mark.to_owned(),
            offset: offsets.into_keys().next(),
        }),
    }
}

fn send_offsets(
    session: &Session,
    offsets: &BTreeMap<(Arc<str>, i32), i64>,
    group: &Arc<ConsumerGroupMetadata>,
    mark: &str,
    changes: &[&Change],
) -> Option<Ended> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for ((topic, partition), offset) in offsets {
        let mut element = list.add_partition(topic, *partition);
        element.set_metadata(mark);
        if let Err(error) = element.set_offset(Offset::Offset(*offset)) {
            return Some(Ended::Broken(code(&error)));
        }
    }
    let group = Arc::clone(group);
    let sent = session.call("adding offsets", OFFSETS, move |client| {
        client.send_offsets_to_transaction(&list, &group, CALL)
    });
    let Err(error) = sent else { return None };
    let why = code(&error);
    if refused(why) && why != Code::GroupAuthorizationFailed {
        return Some(Ended::Refused {
            suspects: (0..changes.len()).collect(),
            code: why,
        });
    }
    Some(abort(session, why))
}

/// Ends a transaction that Kafka does not want, quickly or by the next session.
fn abort(session: &Session, why: Code) -> Ended {
    // A call that was left behind is still at it.
    if why == Code::OperationTimedOut || session.client().client().fatal_error().is_some() {
        return Ended::Broken(why);
    }
    match session.call("aborting", ABORT, |client| client.abort_transaction(ABORT)) {
        Ok(()) => Ended::Aborted(why),
        Err(_) => Ended::Broken(why),
    }
}

/// What the reports say; `None`: every record was taken.
fn judge(session: &Session, failed: &[Failed]) -> Option<Ended> {
    let first = failed.first()?;
    let culprits = failed.iter().filter(|failed| refused(failed.code));
    let culprits: Vec<_> = culprits
        .map(|failed| (failed.change, failed.code, failed.topic.as_str()))
        .collect();
    if culprits.is_empty() {
        return Some(Ended::Broken(first.code));
    }
    Some(refuse(session, culprits))
}

/// Refused for good, unless it was about a topic that is there after all.
fn refuse<'a>(
    session: &Session,
    culprits: impl IntoIterator<Item = (usize, Code, &'a str)>,
) -> Ended {
    let mut suspects = BTreeSet::new();
    let mut why = Code::NoError;
    for (change, code, topic) in culprits {
        if missing(code) && !suspects.contains(&change) && !gone(session, topic) {
            why = code;
            continue;
        }
        suspects.insert(change);
        why = code;
    }
    match suspects.is_empty() {
        true => Ended::Broken(why),
        false => Ended::Refused {
            suspects,
            code: why,
        },
    }
}

/// Kafka says that the topic is not there (and not merely that it cannot say).
fn gone(session: &Session, topic: &str) -> bool {
    let Ok(metadata) = session.client().client().fetch_metadata(Some(topic), CALL) else {
        return false;
    };
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    found.is_none_or(|found| found.error().is_some())
}

fn missing(code: Code) -> bool {
    matches!(code, Code::UnknownTopic | Code::UnknownTopicOrPartition)
}

/// Waiting inside the transaction cannot help.
fn refused(code: Code) -> bool {
    permanent(code)
        || missing(code)
        || matches!(
            code,
            Code::UnknownPartition | Code::TopicAuthorizationFailed
        )
}

/// The newest offset of every partition.
fn offsets(changes: &[&Change]) -> BTreeMap<(Arc<str>, i32), i64> {
    let mut offsets = BTreeMap::new();
    for offset in changes.iter().flat_map(|change| &change.offsets) {
        offsets.insert((Arc::clone(&offset.topic), offset.partition), offset.offset);
    }
    offsets
}
