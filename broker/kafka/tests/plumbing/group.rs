//! Membership: assignment, reading from a given place, back-pressure, handover.

use std::sync::Arc;
use std::time::{Duration, Instant};

use isthmus_kafka::group::{Group, GroupConfig, GroupEvent};
use isthmus_kafka::producer::ProducerSettings;

use crate::kafka::{cpu, events, shared, spread, unique};
use crate::producer::{number, producer, send};
use crate::transactor::member;

fn assigned(event: GroupEvent) -> Option<Vec<i32>> {
    match event {
        // A second member is told at first that nothing is its own yet.
        GroupEvent::Assigned(partitions) if !partitions.is_empty() => {
            let mut numbers: Vec<i32> = partitions.iter().map(|(_, number)| *number).collect();
            numbers.sort_unstable();
            Some(numbers)
        }
        _ => None,
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[test]
fn a_partition_is_read_from_where_it_is_resumed() {
    let kafka = shared();
    let topic = kafka.topic("resume", 4);
    let (producer, done) = producer(&kafka, ProducerSettings::default());
    for number in 0..100 {
        send(&producer, &topic, "k", number, 100);
    }
    done.take(100);
    let (group, events) = member(&kafka, &topic, "pod");
    let start = Instant::now();
    assert_eq!(events.find(assigned), [0, 1, 2, 3]);
    println!("joined after {:.1?}", start.elapsed());
    events.none_for(Duration::from_millis(700));
    let handle = group.handle();
    let place = handle
        .committed(&[(&topic, 0), (&topic, 1)], soon())
        .unwrap();
    assert!(place.iter().all(|place| place.offset.is_none()));
    let full = kafka.read(&topic, 4)[0].partition;
    let start = Instant::now();
    for partition in 0..4 {
        handle.resume(
            &topic,
            partition,
            Some(if partition == full { 40 } else { 0 }),
        );
    }
    let mut numbers = Vec::new();
    while numbers.len() < 60 {
        match events.next() {
            GroupEvent::Records(records) => {
                handle.processed(records.iter().map(|record| record.weight()).sum());
                numbers.extend(records.iter().map(number));
            }
            other => panic!("{other:?}"),
        }
    }
    println!("resumed and read after {:.1?}", start.elapsed());
    assert_eq!(numbers, (40..100).collect::<Vec<_>>());
    assert_eq!(handle.outstanding_bytes(), 0);
    let mut times = Vec::new();
    for number in 0..200 {
        let start = Instant::now();
        send(&producer, &topic, &format!("k{number}"), number, 100);
        events.find(|event| matches!(event, GroupEvent::Records(_)).then_some(()));
        times.push(start.elapsed());
    }
    println!("from produce to record: {}", spread(times));
    let before = cpu();
    std::thread::sleep(Duration::from_secs(2));
    println!(
        "idle group: {:?} CPU in 2 s (other tests included)",
        cpu() - before
    );
    handle.commit(&[(&topic, 2, 77)]).unwrap();
    let place = handle.committed(&[(&topic, 2)], soon()).unwrap();
    assert_eq!(place[0].offset, Some(77));
    let start = Instant::now();
    group.close();
    println!("closed after {:.1?}", start.elapsed());
    let lost = events.find(|event| match event {
        GroupEvent::Lost(lost) => Some(lost.len()),
        _ => None,
    });
    assert_eq!(lost, 4);
    assert!(handle.metadata().is_none());
}

#[test]
fn reading_pauses_while_too_much_is_outstanding() {
    let kafka = shared();
    let topic = kafka.topic("pressure", 1);
    let (producer, done) = producer(&kafka, ProducerSettings::default());
    for number in 0..2000 {
        send(&producer, &topic, "k", number, 1000);
    }
    done.take(2000);
    let (sender, received) = events();
    let mut config = GroupConfig::new(
        kafka.bootstrap(),
        &unique("pressure-group"),
        "pod",
        &[&topic],
    );
    config.outstanding_bytes = 100_000;
    config.wait_for_resume = false;
    let group = Group::start(config, move |event| sender.send(event).unwrap_or_default()).unwrap();
    let handle = group.handle();
    let (mut next, mut most) = (0, 0);
    while next < 2000 {
        if let GroupEvent::Records(records) = received.next() {
            most = most.max(handle.outstanding_bytes());
            for record in &records {
                assert_eq!(number(record), next, "in order and once");
                next += 1;
            }
            std::thread::sleep(Duration::from_millis(20));
            handle.processed(records.iter().map(|record| record.weight()).sum());
        }
    }
    println!("at most {most} bytes outstanding of 100000");
    assert!(most < 2_000_000);
    assert_eq!(handle.outstanding_bytes(), 0);
}

/// The answer to a commit is an event in the queue of the records.
#[test]
fn records_do_not_wait_behind_the_answers_to_commits() {
    let kafka = shared();
    let topic: Arc<str> = kafka.topic("answers", 1).into();
    let (producer, _done) = producer(&kafka, ProducerSettings::default());
    let (sender, received) = events();
    let mut config = GroupConfig::new(kafka.bootstrap(), &unique("answers"), "pod", &[&topic]);
    config.wait_for_resume = false;
    let group = Group::start(config, move |event| sender.send(event).unwrap_or_default()).unwrap();
    received.find(assigned);
    let handle = group.handle();
    for offset in 1..=2000 {
        handle.moved(&topic, 0, offset);
        if offset % 100 == 0 {
            handle.commit(&[(&topic, 0, offset)]).unwrap();
        }
    }
    let start = Instant::now();
    send(&producer, &topic, "k", 0, 100);
    received.find(|event| matches!(event, GroupEvent::Records(_)).then_some(()));
    println!("behind the answers: {:.1?}", start.elapsed());
}

#[test]
fn what_has_moved_is_committed_together_and_never_goes_back() {
    let kafka = shared();
    let topic: Arc<str> = kafka.topic("commits", 3).into();
    let (group, events) = member(&kafka, &topic, "pod");
    events.find(assigned);
    let handle = group.handle();
    let committed = |partition| {
        let place = handle.committed(&[(&topic, partition)], soon()).unwrap();
        place[0].offset
    };
    let until = |partition, offset| {
        let deadline = soon();
        while committed(partition) != Some(offset) {
            assert!(Instant::now() < deadline, "{:?}", committed(partition));
        }
    };
    for offset in 1..=2000 {
        handle.moved(&topic, 0, offset);
    }
    until(0, 2000);
    handle.moved(&topic, 0, 2001);
    handle.commit(&[(&topic, 0, 2002)]).unwrap();
    assert_eq!(committed(0), Some(2002));
    handle.moved(&topic, 1, 7);
    until(1, 7);
    assert_eq!(committed(0), Some(2002), "2001 has not come behind it");
    handle.moved(&topic, 2, 9);
    group.close();
    until(2, 9);
}

/// Whoever took the instance id may have been an earlier request of the member's own.
#[test]
fn a_member_that_was_fenced_may_join_again() {
    let kafka = shared();
    let topic = kafka.topic("rejoin", 1);
    let (producer, _done) = producer(&kafka, ProducerSettings::default());
    let (group, events) = member(&kafka, &topic, "pod");
    events.find(assigned);
    let (_other, of_other) = member(&kafka, &topic, "pod");
    of_other.find(assigned);
    let fatal = |event| matches!(event, GroupEvent::Fatal(_)).then_some(());
    events.find(fatal);
    let handle = group.handle();
    assert!(handle.metadata().is_none() && handle.owned().is_empty());
    handle.rejoin();
    assert_eq!(events.find(assigned), [0]);
    assert!(handle.metadata().is_some());
    handle.resume(&topic, 0, Some(0));
    send(&producer, &topic, "k", 0, 100);
    events.find(|event| matches!(event, GroupEvent::Records(_)).then_some(()));
    of_other.find(fatal);
}

#[test]
fn an_orderly_leave_hands_over_quickly() {
    let kafka = shared();
    let topic = kafka.topic("handover", 6);
    let park = kafka.topic("handover-park", 1);
    let name = unique("handover-group");
    let start_member = |pod: &str| {
        let (sender, received) = events();
        let mut config = GroupConfig::new(kafka.bootstrap(), &name, pod, &[&topic]);
        config.park = Some(park.clone());
        config.revoke_grace = Duration::from_secs(30);
        let on_event = move |event| sender.send(event).unwrap_or_default();
        (Group::start(config, on_event).unwrap(), received)
    };
    let (one, events_one) = start_member("pod-1");
    assert_eq!(events_one.find(assigned).len(), 6);
    let start = Instant::now();
    let (two, events_two) = start_member("pod-2");
    let revoked = events_one.find(|event| match event {
        GroupEvent::Revoked(revoked) => Some(revoked),
        _ => None,
    });
    assert_eq!(revoked.len(), 3);
    assert!(
        revoked
            .iter()
            .all(|(topic, partition)| one.handle().owns(topic, *partition))
    );
    assert_eq!(two.handle().owned(), []);
    one.handle().release(revoked.clone());
    assert_eq!(events_two.find(assigned).len(), 3);
    println!("a second pod has its share after {:.1?}", start.elapsed());
    assert!(
        !revoked
            .iter()
            .any(|(topic, partition)| one.handle().owns(topic, *partition))
    );
    let start = Instant::now();
    let handle = one.handle();
    let leave = std::thread::spawn(move || (one.give_up(soon()), one));
    let revoked = events_one.find(|event| match event {
        GroupEvent::Revoked(revoked) => Some(revoked),
        _ => None,
    });
    handle.release(revoked);
    assert_eq!(events_two.find(assigned).len(), 3);
    println!("handed over after {:.1?}", start.elapsed());
    let (gone, one) = leave.join().unwrap();
    assert!(gone);
    assert_eq!(two.handle().owned().len(), 6);
    one.close();
}

/// librdkafka waits for the answer to every rebalance; whoever closes gives none later.
#[test]
fn a_member_can_close_while_a_rebalance_waits_for_its_answer() {
    let kafka = shared();
    for released in [false, true] {
        let topic = kafka.topic("closing", 4);
        let (one, events_one) = member(&kafka, &topic, "pod-1");
        assert_eq!(events_one.find(assigned).len(), 4);
        let (two, events_two) = member(&kafka, &topic, "pod-2");
        let revoked = events_one.find(|event| match event {
            GroupEvent::Revoked(revoked) => Some(revoked),
            _ => None,
        });
        let (closed, done) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            if released {
                let handle = one.handle();
                handle.release(revoked);
                handle.give_up();
                handle.release(handle.owned());
            }
            one.close();
            closed.send(()).unwrap_or_default();
        });
        done.recv_timeout(Duration::from_secs(30))
            .expect("it closes");
        drop((two, events_two));
    }
}

#[test]
fn a_revoked_partition_goes_when_its_grace_is_over() {
    let kafka = shared();
    let topic = kafka.topic("grace", 2);
    let (_one, events_one) = member(&kafka, &topic, "pod-1");
    assert_eq!(events_one.find(assigned), [0, 1]);
    let (_two, events_two) = member(&kafka, &topic, "pod-2");
    assert_eq!(events_two.find(assigned).len(), 1);
    let lost = events_one.find(|event| match event {
        GroupEvent::Lost(lost) => Some(lost),
        _ => None,
    });
    assert_eq!(lost.len(), 1);
}
