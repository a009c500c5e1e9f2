//! Transactions and the group: offsets that are not stable yet, partitions that move.

use std::time::{Duration, Instant};

use isthmus_kafka::group::GroupEvent;
use isthmus_kafka::transactor::{Done, Transactor, TransactorSettings, end_open};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::kafka::{events, shared, unique};
use crate::transactor::{Bench, counter, member, soon};

#[test]
fn committed_offsets_wait_for_open_transactions() {
    let kafka = shared();
    let bench = Bench::new(&kafka, "tx-stable", 1);
    let handle = bench.group.handle();
    let other: BaseProducer = kafka
        .client()
        .set("transactional.id", format!("{}-other", bench.id))
        .set("retry.backoff.ms", "5")
        .create()
        .unwrap();
    other.init_transactions(Duration::from_secs(20)).unwrap();
    other.begin_transaction().unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(&bench.inbox, 0, rdkafka::Offset::Offset(7))
        .unwrap();
    let group = handle.metadata().unwrap();
    other
        .send_offsets_to_transaction(&list, &group, Duration::from_secs(10))
        .unwrap();
    let start = Instant::now();
    let early = handle.committed(&[(&bench.inbox, 0)], start + Duration::from_millis(800));
    assert!(early.is_err(), "{early:?}");
    println!("unstable: {early:?} after {:.1?}", start.elapsed());
    other.commit_transaction(Duration::from_secs(10)).unwrap();
    let start = Instant::now();
    let found = handle.committed(&[(&bench.inbox, 0)], soon()).unwrap();
    println!("stable after {:.1?}", start.elapsed());
    assert_eq!(found[0].offset, Some(7));
}

#[test]
fn changes_go_on_through_a_rebalance() {
    let kafka = shared();
    let bench = Bench::new(&kafka, "tx-rebalance", 2);
    let (sender, done) = events();
    let transactor = bench.transactor(&kafka.bootstrap(), sender);
    let handle = bench.group.handle();
    let (_other, theirs) = member(&kafka, &bench.inbox, "pod-2");
    let mut number = 0;
    let mut outcomes = Vec::new();
    let mut submit = |outcomes: &mut Vec<_>| {
        for partition in 0..2 {
            transactor.submit(bench.change(number, partition));
            number += 1;
        }
        outcomes.extend(done.take(2));
    };
    let revoked = loop {
        submit(&mut outcomes);
        if let Some(GroupEvent::Revoked(revoked)) = bench.events.ready() {
            break revoked;
        }
    };
    for _ in 0..20 {
        submit(&mut outcomes);
    }
    assert_eq!(
        counter(&outcomes).1,
        0,
        "what is revoked is ours until it is released"
    );
    handle.release(revoked.clone());
    theirs
        .find(|event| matches!(event, GroupEvent::Assigned(new) if !new.is_empty()).then_some(()));
    outcomes.clear();
    for _ in 0..20 {
        submit(&mut outcomes);
    }
    assert_eq!(counter(&outcomes), (20, 20));
    let gone = revoked[0].1;
    for (token, outcome) in &outcomes {
        assert_eq!(
            matches!(outcome, Done::Fenced(_)),
            (token % 2) as i32 == gone,
            "{token}"
        );
    }
}

/// A killed process comes back at once, and reads its caches before it has anything to write.
#[test]
fn nobody_waits_for_what_a_killed_process_left_open() {
    let kafka = shared();
    let (topic, id) = (kafka.topic("left-open", 1), unique("left-open"));
    let dead: BaseProducer = kafka
        .client()
        .set("transactional.id", &id)
        .set("retry.backoff.ms", "5")
        .create()
        .unwrap();
    dead.init_transactions(Duration::from_secs(20)).unwrap();
    dead.begin_transaction().unwrap();
    let record: BaseRecord<'_, str, str> = BaseRecord::to(&topic).key("k").payload("v");
    dead.send(record).map_err(|(error, _)| error).unwrap();
    dead.flush(Duration::from_secs(20)).unwrap();
    let start = Instant::now();
    end_open(kafka.bootstrap(), &id).unwrap();
    assert!(kafka.read(&topic, 1).is_empty());
    println!("ended and read after {:.1?}", start.elapsed());
    assert!(
        start.elapsed() < Duration::from_secs(9),
        "it timed out instead"
    );
}

/// What was submitted while a partition was somebody else's goes before what comes later.
#[test]
fn held_changes_keep_their_order() {
    let kafka = shared();
    let bench = Bench::new(&kafka, "tx-held", 2);
    let (sender, done) = events();
    let settings = TransactorSettings {
        hold: true,
        ..TransactorSettings::default()
    };
    let transactor = Transactor::new(
        kafka.bootstrap(),
        &bench.id,
        bench.group.handle(),
        settings,
        move |token, outcome| sender.send((token, outcome)).unwrap_or_default(),
    )
    .unwrap();
    let (other, theirs) = member(&kafka, &bench.inbox, "pod-2");
    let revoked = bench.events.find(|event| match event {
        GroupEvent::Revoked(revoked) => Some(revoked),
        _ => None,
    });
    let (gone, kept) = (revoked[0].1, 1 - revoked[0].1);
    bench.group.handle().release(revoked);
    theirs
        .find(|event| matches!(event, GroupEvent::Assigned(new) if !new.is_empty()).then_some(()));
    for token in 0..5 {
        transactor.submit(bench.change(token, gone));
    }
    transactor.submit(bench.change(100, kept));
    assert_eq!(done.next(), (100, Done::Committed));
    done.none_for(Duration::from_millis(500));
    other.close();
    let handle = bench.group.handle();
    let mut token = 5;
    while !handle.owns(&bench.inbox, gone) || token < 8 {
        transactor.submit(bench.change(token, gone));
        token += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    let expected: Vec<u64> = (0..token).collect();
    assert_eq!(
        crate::transactor::committed(&done.take(token as usize)),
        expected
    );
    assert_eq!(bench.stored(&kafka, gone), expected);
}
