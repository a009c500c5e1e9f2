//! A static member that the coordinator has put out of its group, as it does with one that stood still
//! for longer than the session lasts, and that joins again before it has heard of it.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use isthmus_kafka::group::{Group, GroupConfig, GroupEvent};

use crate::kafka::{Events, events, shared, unique};

/// LeaveGroup, version 3, of a static member: what an administrator's client sends.
fn evict(bootstrap: &str, group: &str, instance: &str) {
    let string = |text: &str| {
        let length = u16::try_from(text.len()).unwrap();
        [&length.to_be_bytes(), text.as_bytes()].concat()
    };
    let request = [
        &[0, 13, 0, 3, 0, 0, 0, 1][..],
        &string("evict"),
        &string(group),
        &[0, 0, 0, 1],
        &string(""),
        &string(instance),
    ]
    .concat();
    let mut stream = TcpStream::connect(bootstrap).unwrap();
    let length = u32::try_from(request.len()).unwrap();
    stream.write_all(&length.to_be_bytes()).unwrap();
    stream.write_all(&request).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).unwrap();
    // Correlation id, throttle time, error.
    assert_eq!(answer[8..10], [0, 0], "{answer:?}");
}

/// Waits until all four partitions are lost, at once or one after the other.
fn all_lost(events: &Events<GroupEvent>) {
    let mut lost = HashSet::new();
    while lost.len() < 4 {
        lost.extend(events.find(|event| match event {
            GroupEvent::Lost(partitions) => Some(partitions),
            GroupEvent::Revoked(of) => panic!("{of:?} may be another's already"),
            _ => None,
        }));
    }
}

#[test]
fn what_was_assigned_before_an_eviction_is_lost() {
    let kafka = shared();
    let topic = kafka.topic("evicted", 4);
    let park = kafka.topic("evicted-park", 1);
    let name = unique("evicted-group");
    let member = |pod: &str, heartbeats: [&str; 2]| {
        let (sender, received) = events();
        let mut config = GroupConfig::new(kafka.bootstrap(), &name, pod, &[&topic]);
        config.park = Some(park.clone());
        config.revoke_grace = Duration::from_secs(20);
        let settings = ["session.timeout.ms", "heartbeat.interval.ms"].into_iter();
        let settings = settings.zip(heartbeats);
        let owned = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        config.extra.extend(owned);
        let on_event = move |event| sender.send(event).unwrap_or_default();
        (Group::start(config, on_event).unwrap(), received)
    };
    let assigned = |event| match event {
        GroupEvent::Assigned(partitions) if !partitions.is_empty() => Some(partitions.len()),
        _ => None,
    };
    // No heartbeat of the one that is put out may hear of it first.
    let (one, events) = member("pod-1", ["120000", "60000"]);
    assert_eq!(events.find(assigned), 4);
    let handle = one.handle();
    let before = handle.term(&topic, 0);
    evict(&kafka.bootstrap(), &name, "pod-1");
    handle.rebalance();
    all_lost(&events);
    assert_eq!(events.find(assigned), 4);
    assert_ne!(handle.term(&topic, 0), before);
    assert!(handle.metadata().is_some() && handle.owns(&topic, 0));

    // Where another has joined meanwhile, what is its own now is lost here and not handed over.
    evict(&kafka.bootstrap(), &name, "pod-1");
    let (two, events_two) = member("pod-2", ["6000", "100"]);
    assert_eq!(events_two.find(assigned), 4);
    handle.rebalance();
    all_lost(&events);
    let revoked = events_two.find(|event| match event {
        GroupEvent::Revoked(partitions) => Some(partitions),
        _ => None,
    });
    // As long as the other has not let go of them they are nobody else's.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        let news = events.ready();
        assert!(
            news.is_none() || news == Some(GroupEvent::Assigned(Vec::new())),
            "{news:?}"
        );
    }
    assert_eq!(handle.owned(), []);
    let hand_over = |partitions| {
        two.handle().release(partitions);
        // Nor of this.
        handle.rebalance();
    };
    hand_over(revoked);
    let owned = |group: &Group| group.handle().owned().len();
    let start = Instant::now();
    while (owned(&one), owned(&two)) != (2, 2) {
        assert!(start.elapsed() < Duration::from_secs(20), "{one:?} {two:?}");
        if let Some(GroupEvent::Revoked(more)) = events_two.ready() {
            hand_over(more);
        }
    }
}
