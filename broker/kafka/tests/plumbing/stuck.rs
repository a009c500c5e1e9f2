//! A Kafka that keeps librdkafka waiting for ever, played by librdkafka's own.

use std::thread;
use std::time::{Duration, Instant};

use isthmus_kafka::group::{Group, GroupConfig, GroupEvent};
use isthmus_kafka::record::OwnedRecord;
use isthmus_kafka::transactor::{Change, Done, TopicOffset, Transactor, TransactorSettings};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::kafka::events;

/// While it starts, Kafka says that the group has no coordinator. librdkafka asks three times; then
/// it waits until a connection opens or closes, in a call that has no limit.
#[test]
fn a_call_that_does_not_return_is_left_behind() {
    let kafka = MockCluster::new(1).unwrap();
    for topic in ["inbox", "state"] {
        kafka.create_topic(topic, 1, 1).unwrap();
    }
    let bootstrap = kafka.bootstrap_servers();
    let (sender, happened) = events();
    let config = GroupConfig::new(&bootstrap, "group", "pod", &["inbox"]);
    let group = Group::start(config, move |event| sender.send(event).unwrap_or_default()).unwrap();
    happened
        .find(|event| matches!(event, GroupEvent::Assigned(new) if !new.is_empty()).then_some(()));
    let (sender, done) = events();
    let settings = TransactorSettings::default();
    let transactor = Transactor::new(
        &bootstrap,
        "pod",
        group.handle(),
        settings,
        move |token, outcome| {
            sender.send((token, outcome)).unwrap_or_default();
        },
    )
    .unwrap();
    assert!(transactor.wait_ready(Instant::now() + Duration::from_secs(20)));
    // librdkafka asks for the transaction coordinator once more after it has connected.
    thread::sleep(Duration::from_millis(1200));
    let unavailable = RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE;
    let refuse = |times: usize| {
        kafka.request_errors(RDKafkaApiKey::FindCoordinator, &vec![unavailable; times]);
    };
    refuse(3);
    transactor.submit(Change {
        token: 7,
        records: vec![OwnedRecord {
            topic: "state".to_owned(),
            value: Some(vec![1]),
            ..OwnedRecord::default()
        }],
        offsets: vec![TopicOffset {
            topic: "inbox".into(),
            partition: 0,
            offset: 1,
            owned_as: None,
        }],
    });
    let start = Instant::now();
    let mut said = None;
    thread::sleep(Duration::from_secs(4));
    assert_eq!(done.ready(), None, "librdkafka does not wait any more");
    // The next producer needs long, too.
    refuse(16);
    let outcome = loop {
        said = said.or(transactor.stalled());
        if let Some(outcome) = done.ready() {
            break outcome;
        }
        assert!(start.elapsed() < Duration::from_secs(40), "{said:?}");
        thread::sleep(Duration::from_millis(50));
    };
    println!("committed after {:.1?}, said {said:?}", start.elapsed());
    assert_eq!(outcome, (7, Done::Committed));
    assert!(said.is_some_and(|said| said.starts_with("stuck while ")));
    assert_eq!(transactor.stalled(), None);
}
