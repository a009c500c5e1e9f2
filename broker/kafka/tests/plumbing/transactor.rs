//! Group commit: atomic, fenced by the group, refused alone, and never lost with an answer.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use isthmus_kafka::group::{Group, GroupConfig, GroupEvent, GroupHandle};
use isthmus_kafka::record::OwnedRecord;
use isthmus_kafka::transactor::{Change, Done, TopicOffset, Transactor, TransactorSettings};
use rdkafka::producer::{BaseProducer, Producer as _};

use crate::kafka::{Events, Kafka, events, shared, spread};
use crate::proxy::Proxy;

/// An inbox and a state topic, and a member that owns all of the inbox.
pub(crate) struct Bench {
    pub(crate) inbox: String,
    pub(crate) state: String,
    pub(crate) partitions: i32,
    pub(crate) id: String,
    pub(crate) group: Group,
    pub(crate) events: Events<GroupEvent>,
}

impl Bench {
    pub(crate) fn new(kafka: &Kafka, name: &str, partitions: i32) -> Self {
        let inbox = kafka.topic(&format!("{name}-inbox"), partitions);
        let state = kafka.topic(&format!("{name}-state"), partitions);
        let id = format!("{inbox}-pod");
        let (group, events) = patient_member(kafka, &inbox, "pod", Duration::from_secs(30));
        let assigned = events.find(|event| match event {
            GroupEvent::Assigned(assigned) => Some(assigned),
            _ => None,
        });
        assert_eq!(assigned.len(), partitions as usize);
        Self {
            inbox,
            state,
            partitions,
            id,
            group,
            events,
        }
    }

    pub(crate) fn transactor(&self, bootstrap: &str, done: Sender<(u64, Done)>) -> Transactor {
        self.transactor_of(self.group.handle(), bootstrap, done)
    }

    fn transactor_of(
        &self,
        group: GroupHandle,
        bootstrap: &str,
        done: Sender<(u64, Done)>,
    ) -> Transactor {
        let transactor = Transactor::new(
            bootstrap,
            &self.id,
            group,
            TransactorSettings::default(),
            move |token, outcome| done.send((token, outcome)).unwrap_or_default(),
        )
        .unwrap();
        let start = Instant::now();
        assert!(transactor.wait_ready(start + Duration::from_secs(30)));
        println!("ready after {:.1?}", start.elapsed());
        transactor
    }

    pub(crate) fn changes(&self) -> Changes {
        Changes {
            inbox: self.inbox.clone(),
            state: self.state.clone(),
        }
    }

    pub(crate) fn change(&self, token: u64, partition: i32) -> Change {
        self.changes().change(token, partition)
    }

    /// The changes that are visible in a partition; each must be whole.
    pub(crate) fn stored(&self, kafka: &Kafka, partition: i32) -> Vec<u64> {
        let mut messages = kafka.read(&self.state, self.partitions);
        messages.retain(|message| message.partition == partition);
        let numbers = |key: &[u8]| -> Vec<u64> {
            let of = messages
                .iter()
                .filter(|message| message.key.as_deref() == Some(key));
            of.map(crate::producer::number).collect()
        };
        let (a, b) = (numbers(b"a"), numbers(b"b"));
        assert_eq!(a, b, "changes are whole");
        a
    }
}

/// What the changes of a bench are about.
pub(crate) struct Changes {
    inbox: String,
    state: String,
}

impl Changes {
    /// Two records and the offset `token + 1`.
    pub(crate) fn change(&self, token: u64, partition: i32) -> Change {
        let record = |key: &str| OwnedRecord {
            topic: self.state.clone(),
            partition: Some(partition),
            key: Some(key.as_bytes().to_vec()),
            value: Some(token.to_be_bytes().to_vec()),
            ..OwnedRecord::default()
        };
        Change {
            token,
            records: vec![record("a"), record("b")],
            offsets: vec![self.offset(partition, token as i64 + 1)],
        }
    }

    pub(crate) fn offset(&self, partition: i32, offset: i64) -> TopicOffset {
        let topic = Arc::from(self.inbox.as_str());
        TopicOffset {
            topic,
            partition,
            offset,
            owned_as: None,
        }
    }
}

pub(crate) fn member(kafka: &Kafka, inbox: &str, pod: &str) -> (Group, Events<GroupEvent>) {
    patient_member(kafka, inbox, pod, Duration::from_secs(2))
}

/// A member that keeps what is revoked for `grace`.
pub(crate) fn patient_member(
    kafka: &Kafka,
    inbox: &str,
    pod: &str,
    grace: Duration,
) -> (Group, Events<GroupEvent>) {
    let (sender, received) = events();
    let name = format!("{inbox}-group");
    let mut config = GroupConfig::new(kafka.bootstrap(), &name, pod, &[inbox]);
    config.revoke_grace = grace;
    let group = Group::start(config, move |event| sender.send(event).unwrap_or_default()).unwrap();
    (group, received)
}

pub(crate) fn counter(outcomes: &[(u64, Done)]) -> (usize, usize) {
    let fenced = outcomes
        .iter()
        .filter(|(_, done)| matches!(done, Done::Fenced(_)))
        .count();
    (committed(outcomes).len(), fenced)
}

pub(crate) fn committed(outcomes: &[(u64, Done)]) -> Vec<u64> {
    let of = outcomes.iter().filter(|(_, done)| *done == Done::Committed);
    of.map(|(token, _)| *token).collect()
}

pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[test]
fn a_commit_shows_records_and_offset_together() {
    let kafka = shared();
    let bench = Bench::new(&kafka, "tx", 8);
    let (sender, done) = events();
    let transactor = bench.transactor(&kafka.bootstrap(), sender);
    let handle = bench.group.handle();
    for token in 0..20 {
        transactor.submit(bench.change(token, (token % 8) as i32));
        assert_eq!(done.next(), (token, Done::Committed));
        let found = handle
            .committed(&[(&bench.inbox, (token % 8) as i32)], soon())
            .unwrap();
        assert_eq!(found[0].offset, Some(token as i64 + 1));
        assert!(found[0].metadata.starts_with(&bench.id), "{found:?}");
        assert!(bench.stored(&kafka, (token % 8) as i32).contains(&token));
    }
    let mut times = Vec::new();
    for token in 100..300 {
        let start = Instant::now();
        transactor.submit(bench.change(token, (token % 8) as i32));
        done.next();
        times.push(start.elapsed());
    }
    println!("commit of one change: {}", spread(times));
    let mut times = Vec::new();
    for round in 0..50 {
        let start = Instant::now();
        for partition in 0..8 {
            transactor.submit(bench.change(1000 + round * 8 + partition, partition as i32));
        }
        done.take(8);
        times.push(start.elapsed());
    }
    println!("commit of changes over 8 partitions: {}", spread(times));
    let before = transactor.transactions();
    let start = Instant::now();
    for token in 10_000..15_000 {
        transactor.submit(bench.change(token, (token % 8) as i32));
    }
    done.take(5000);
    println!(
        "5000 changes: {:.1?} in {} transactions",
        start.elapsed(),
        transactor.transactions() - before
    );
    assert_eq!(
        (transactor.backlog_changes(), transactor.backlog_bytes()),
        (0, 0)
    );
    assert_eq!(transactor.close(soon()), 0);
}

#[test]
fn a_refused_record_takes_only_its_own_change_with_it() {
    let kafka = shared();
    let bench = Bench::new(&kafka, "tx-refused", 2);
    let (sender, done) = events();
    let transactor = bench.transactor(&kafka.bootstrap(), sender);
    let start = Instant::now();
    for token in 0..30 {
        let mut change = bench.change(token, (token % 2) as i32);
        match token {
            10 => change.records[1].value = Some(vec![0; 3 << 20]),
            20 => change.records[0].topic = "no-such-topic".to_owned(),
            _ => {}
        }
        transactor.submit(change);
    }
    let mut outcomes = done.take(30);
    println!("30 changes with two culprits: {:.1?}", start.elapsed());
    outcomes.sort_by_key(|(token, _)| *token);
    for (token, outcome) in &outcomes {
        match (token, outcome) {
            (10, Done::Refused { too_large, .. }) => assert!(too_large),
            (20, Done::Refused { too_large, .. }) => assert!(!too_large),
            (_, outcome) => assert_eq!(*outcome, Done::Committed, "{token}"),
        }
    }
    let good = |parity: u64| -> Vec<u64> {
        (0..30)
            .filter(|token| ![10, 20].contains(token) && token % 2 == parity)
            .collect()
    };
    assert_eq!(bench.stored(&kafka, 0), good(0));
    assert_eq!(bench.stored(&kafka, 1), good(1));
}

#[test]
fn many_suspects_hide_one_culprit() {
    let kafka = shared();
    let bench = Bench::new(&kafka, "tx-suspects", 1);
    let compacted = crate::kafka::unique("tx-compacted");
    kafka.create(&compacted, 1, &[("cleanup.policy", "compact")]);
    let (sender, done) = events();
    let transactor = bench.transactor(&kafka.bootstrap(), sender);
    let start = Instant::now();
    for token in 0..40 {
        let mut change = bench.change(token, 0);
        let key = (token != 25).then(|| b"k".to_vec());
        let topic = compacted.clone();
        change.records.push(OwnedRecord {
            topic,
            key,
            value: Some(vec![1]),
            ..OwnedRecord::default()
        });
        transactor.submit(change);
    }
    let outcomes = done.take(40);
    println!("a culprit among 40 suspects: {:.1?}", start.elapsed());
    let expected: Vec<u64> = (0..40).filter(|token| *token != 25).collect();
    assert_eq!(committed(&outcomes), expected);
    assert_eq!(bench.stored(&kafka, 0), expected);
}

#[test]
fn a_fenced_producer_goes_on_with_what_is_still_ours() {
    let kafka = shared();
    let bench = Bench::new(&kafka, "tx-fenced", 1);
    let (sender, done) = events();
    let transactor = bench.transactor(&kafka.bootstrap(), sender);
    transactor.submit(bench.change(0, 0));
    assert_eq!(done.next(), (0, Done::Committed));
    take_over(&kafka, &bench.id);
    let start = Instant::now();
    transactor.submit(bench.change(1, 0));
    assert_eq!(done.next(), (1, Done::Committed));
    println!("after a fence: {:.1?}", start.elapsed());
    assert_eq!(bench.stored(&kafka, 0), [0, 1]);
}

/// Somebody else initialises the transactional id.
fn take_over(kafka: &Kafka, id: &str) {
    let other: BaseProducer = kafka
        .client()
        .set("transactional.id", id)
        .set("retry.backoff.ms", "5")
        .create()
        .unwrap();
    other.init_transactions(Duration::from_secs(20)).unwrap();
}

#[test]
fn another_process_with_our_instance_id_fences_us() {
    let kafka = shared();
    let bench = Bench::new(&kafka, "tx-zombie", 2);
    let (sender, done) = events();
    let transactor = bench.transactor(&kafka.bootstrap(), sender);
    transactor.submit(bench.change(0, 0));
    assert_eq!(done.next(), (0, Done::Committed));
    let (_group, theirs) = member(&kafka, &bench.inbox, "pod");
    let start = Instant::now();
    theirs
        .find(|event| matches!(event, GroupEvent::Assigned(new) if !new.is_empty()).then_some(()));
    println!("the new process owns after {:.1?}", start.elapsed());
    transactor.submit(bench.change(1, 0));
    assert_eq!(done.next(), (1, Done::Fenced(bench.change(1, 0))));
    println!("told as fenced after {:.1?}", start.elapsed());
    let reason = bench.events.find(|event| match event {
        GroupEvent::Fatal(reason) => Some(reason),
        _ => None,
    });
    println!("fatal: {reason}");
    assert_eq!(bench.stored(&kafka, 0), [0]);
    assert!(bench.group.handle().owned().is_empty());
}

#[test]
fn a_lost_answer_to_a_commit_repeats_nothing() {
    lost(true);
}

#[test]
fn a_commit_that_never_arrived_is_repeated() {
    lost(false);
}

fn lost(arrives: bool) {
    const END_TXN: i16 = 26;
    let kafka = Kafka::start();
    let proxy = Proxy::start(kafka.proxy, kafka.proxied);
    let bench = Bench::new(&kafka, "tx-lost", 1);
    let (sender, done) = events();
    let transactor = bench.transactor(&kafka.through_proxy(), sender);
    transactor.submit(bench.change(0, 0));
    assert_eq!(done.next(), (0, Done::Committed));
    proxy.cut_at(END_TXN, arrives);
    transactor.submit(bench.change(1, 0));
    proxy.wait_cut();
    thread::sleep(Duration::from_millis(200));
    take_over(&kafka, &bench.id);
    let start = Instant::now();
    proxy.heal();
    transactor.submit(bench.change(2, 0));
    assert_eq!(done.next(), (1, Done::Committed));
    assert_eq!(done.next(), (2, Done::Committed));
    println!(
        "a lost answer (arrived: {arrives}) was sorted out after {:.1?}",
        start.elapsed()
    );
    assert_eq!(bench.stored(&kafka, 0), [0, 1, 2], "each once");
}
