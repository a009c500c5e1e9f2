//! Several broker processes of one instance on a real Kafka: slots are divided, and move when a
//! process dies, stops or stands still (architecture section 3; invariants 3 and 4).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod pods;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use isthmus_core::record::{MessageRecord, decode};
use isthmus_tests::client::Outgoing;
use isthmus_tests::{Client, Kafka, Options, QoS, Record, Spec, Tail, Version, eventually};
use pods::Pods;
use rustix::process::Signal;

const SLOTS: u16 = 4;
/// What a pod's sudden death may cost (architecture section 7).
const FAILOVER: Duration = Duration::from_secs(10);
/// How long an orderly end may take on a machine that has other work; what it costs is printed here,
/// and judged by `make chaos`.
const HANDOVER: Duration = Duration::from_secs(10);

/// One client for each slot, with a persistent session and a subscription.
fn sessions(pods: &Pods) -> Vec<Options> {
    (0..SLOTS)
        .map(|slot| {
            let options = Options::new(&pods::client_of(slot, SLOTS))
                .version(Version::V5)
                .persistent();
            let mut client = pods.connect(slot, &options);
            client.subscribe(&format!("news/{slot}"), QoS::AtLeastOnce);
            client.disconnect();
            options
        })
        .collect()
}

/// Every session is there, and gets what was published to it while it was away.
fn assert_served(pods: &Pods, sessions: &[Options], text: &str) {
    for (slot, options) in (0..SLOTS).zip(sessions) {
        let mut client = pods.connect(slot, options);
        assert!(client.welcome.session_present, "slot {slot}");
        client.publish(&Outgoing::new(&format!("news/{slot}"), text).qos(QoS::AtLeastOnce));
        // What was not yet known to be taken may come again.
        client.messages_before(text);
        client.disconnect();
    }
}

#[test]
fn slots_are_divided_and_a_killed_pod_is_replaced() {
    let kafka = Kafka::start();
    let mut pods = Pods::start(&kafka, Spec::new("divided"), 2);
    let owned = pods.wait_divided();
    println!("divided: {owned:?}");
    let sessions = sessions(&pods);
    assert_served(&pods, &sessions, "before");

    pods.kill(1);
    let start = Instant::now();
    pods.wait_all_at(0, FAILOVER);
    println!(
        "a killed pod's slots were open elsewhere after {:.1?}",
        start.elapsed()
    );
    assert_served(&pods, &sessions, "after");

    // It comes back with the same name, and gets its share in order.
    pods.launch(1);
    pods.wait_divided();
    assert_served(&pods, &sessions, "again");
}

#[test]
fn an_orderly_stop_hands_slots_over_at_once() {
    let kafka = Kafka::start();
    let mut pods = Pods::start(&kafka, Spec::new("orderly"), 2);
    pods.wait_divided();
    let sessions = sessions(&pods);
    let (slot, options) = (0..SLOTS)
        .zip(&sessions)
        .find(|(slot, _)| pods.owner(*slot) == Some(1))
        .unwrap();
    let mut present = pods.connect(slot, options);

    let start = Instant::now();
    pods.signal(1, Signal::TERM);
    assert_eq!(present.ended(), Some(0x8B), "told that the server goes");
    let clients = start.elapsed();
    pods.wait_all_at(0, HANDOVER);
    println!(
        "clients told after {clients:.1?}, slots open elsewhere after {:.1?}",
        start.elapsed()
    );
    pods.wait_end(1, HANDOVER);
    println!("the pod ended after {:.1?}", start.elapsed());
    assert_served(&pods, &sessions, "handed over");

    // Nobody is left to hand over to.
    let start = Instant::now();
    pods.signal(0, Signal::TERM);
    pods.wait_end(0, HANDOVER);
    println!("the last pod ended after {:.1?}", start.elapsed());
    pods.launch(0);
    pods.wait_all_at(0, FAILOVER);
    assert_served(&pods, &sessions, "alone");
}

/// Stopped for longer than the session timeout: its slots are another's, and its clients are told
/// when it wakes. It goes on with whatever the group gives it then.
#[test]
fn a_pod_that_stood_still_drops_what_another_has() {
    let kafka = Kafka::start();
    let pods = Pods::start(&kafka, Spec::new("stopped"), 2);
    pods.wait_divided();
    let sessions = sessions(&pods);
    let (slot, options) = (0..SLOTS)
        .zip(&sessions)
        .find(|(slot, _)| pods.owner(*slot) == Some(1))
        .unwrap();
    let mut present = pods.connect(slot, options);
    pods.signal(1, Signal::STOP);
    let start = Instant::now();
    pods.wait_all_at(0, FAILOVER);
    println!(
        "a stopped pod's slots were open elsewhere after {:.1?}",
        start.elapsed()
    );
    assert_served(&pods, &sessions, "while it stands still");
    pods.signal(1, Signal::CONT);
    assert_eq!(present.ended(), Some(0x8B), "its slot is another's");
    pods.wait_divided();
    assert_served(&pods, &sessions, "awake");
}

/// What a pod has handed to its producer while Kafka was out of its reach is written when that is over,
/// behind what the publisher has said to the next owner since.
#[test]
fn a_late_retained_message_of_a_former_owner_is_not_the_last_word() {
    let kafka = Kafka::fragile(1, 2, 256);
    let pods = Pods::start(&kafka, Spec::new("late"), 2);
    let slot = pods.wait_divided()[1][0];
    let options = Options::new(&pods::client_of(slot, SLOTS));
    let options = options.version(Version::V5).persistent();
    let value = |n: u8| {
        let message = Outgoing::new("valve", n.to_string()).retained();
        message.qos(QoS::AtLeastOnce)
    };
    let mut watching = Client::connect(&pods.address(1), &Options::new("watcher"));
    watching.subscribe("valve", QoS::AtMostOnce);
    let mut publisher = pods.connect(slot, &options);
    publisher.publish(&value(1));
    watching.messages_before("1");

    kafka.drop_packets(1);
    publisher.send(&value(2)).unwrap();
    watching.messages_before("2");
    pods.wait_all_at(0, 2 * FAILOVER);
    let mut publisher = pods.connect(slot, &options);
    assert!(publisher.welcome.session_present);
    publisher.publish(&value(2));
    publisher.publish(&value(3));

    kafka.pass_packets(1);
    let mut log = Tail::from_start(&kafka.bootstrap(), &pods.topic("retained"));
    let message = |record: &Record| {
        let value = record.value.as_deref().unwrap();
        let message: MessageRecord<'_> = decode(value).unwrap();
        message.to_message().payload().to_vec()
    };
    log.find("the last word of its time", |record| {
        message(record) == b"3"
    });
    log.find("the late record", |record| message(record) == b"2");
    log.find("what stands, again", |record| message(record) == b"3");
    for pod in 0..2 {
        let name = format!("reader-{pod}");
        let mut reader = Client::connect(&pods.address(pod), &Options::new(&name));
        reader.subscribe("valve", QoS::AtMostOnce);
        assert_eq!(reader.message().text(), "3", "pod {pod}");
    }
}

/// More pods than slots: one that has none is ready, and takes over when it must.
#[test]
fn a_pod_without_slots_is_ready() {
    let kafka = Kafka::start();
    let pods = Pods::start(&kafka, Spec::new("spare"), 5);
    eventually("five pods are ready", Duration::from_secs(30), || {
        (0..5).all(|pod| pods.ready(pod)).then_some(())
    });
    eventually("four of them have a slot", Duration::from_secs(30), || {
        let owners = (0..SLOTS).map(|slot| pods.owner(slot));
        let owners: Option<BTreeSet<usize>> = owners.collect();
        (owners?.len() == usize::from(SLOTS)).then_some(())
    });
}
