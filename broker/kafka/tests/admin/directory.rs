//! The directory's topic, written and read in a real Kafka.

use std::time::{Duration, Instant};

use isthmus_kafka::admin::{Admin, AdminError};
use isthmus_kafka::client::base_config;
use isthmus_kafka::directory::{
    Acl, DirectoryError, DirectoryWriter, Entry, ManagedBy, Parent, ParentType, ReadError, User,
    VERSION, read_all,
};
use isthmus_kafka::provision::{TopicKind, TopicSpec, ensure};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::support;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// A new directory topic in the shared Kafka.
fn topic(kafka: &support::Kafka, name: &str) {
    let admin = Admin::new(kafka.bootstrap()).unwrap();
    let mut spec = TopicSpec {
        partitions: Some(1),
        ..TopicSpec::new(name, TopicKind::Internal)
    };
    spec.config
        .insert("cleanup.policy".to_owned(), "compact".to_owned());
    ensure(&admin, &[spec]).remove(0).unwrap();
}

fn user(name: &str, hash: &str) -> Entry {
    let value = User {
        v: VERSION,
        managed_by: ManagedBy::Operator,
        enabled: true,
        password_hash: hash.to_owned(),
    };
    Entry::User(name.to_owned(), Some(value))
}

#[test]
fn what_was_written_is_read_and_what_was_deleted_is_not() {
    let kafka = support::shared();
    let (bootstrap, topic_name) = (kafka.bootstrap(), "__mqtt.t.a.directory");
    topic(&kafka, topic_name);
    assert_eq!(read_all(&bootstrap, topic_name, soon()).unwrap().len(), 0);

    let acl = Acl {
        v: VERSION,
        managed_by: ManagedBy::Api,
        rules: Vec::new(),
    };
    let parent = Parent {
        v: VERSION,
        managed_by: ManagedBy::Operator,
        kind: ParentType::PartitionOrdered,
        kafka_topic: "p.orderMsg2mq-a".to_owned(),
        max_message_bytes: 7,
    };
    let entries = [
        user("ann/with/slashes", "one"),
        user("bob", "one"),
        Entry::Acl("bob".to_owned(), Some(acl)),
        Entry::Parent("orderMsg2mq-a".to_owned(), Some(parent)),
        user("bob", "two"),
    ];
    let writer = DirectoryWriter::new(&bootstrap, topic_name).unwrap();
    writer.write(&entries, soon()).unwrap();
    let read = read_all(&bootstrap, topic_name, soon()).unwrap();
    assert_eq!(read.len(), 4);
    assert_eq!(read["user/bob"], user("bob", "two"));
    assert_eq!(read["user/ann/with/slashes"], entries[0]);
    assert_eq!(read["parent/orderMsg2mq-a"], entries[3]);

    writer
        .write(&[Entry::User("bob".to_owned(), None)], soon())
        .unwrap();
    let read = read_all(&bootstrap, topic_name, soon()).unwrap();
    let keys: Vec<_> = read.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["acl/bob", "parent/orderMsg2mq-a", "user/ann/with/slashes"]
    );
    writer.write(&[], soon()).unwrap();
    assert!(
        writer
            .write(&[Entry::Other("new/kind".to_owned())], soon())
            .is_err()
    );
}

#[test]
fn many_entries_are_all_confirmed() {
    let kafka = support::shared();
    let (bootstrap, topic_name) = (kafka.bootstrap(), "__mqtt.t.b.directory");
    topic(&kafka, topic_name);
    let entries: Vec<_> = (0..150_000)
        .map(|n| user(&format!("u{n}"), "hash"))
        .collect();
    let writer = DirectoryWriter::new(&bootstrap, topic_name).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    writer.write(&entries, deadline).unwrap();
    assert_eq!(
        read_all(&bootstrap, topic_name, deadline).unwrap().len(),
        entries.len()
    );
}

#[test]
fn aborted_records_are_not_read_and_markers_do_not_hold_up_the_reader() {
    let kafka = support::shared();
    let (bootstrap, topic_name) = (kafka.bootstrap(), "__mqtt.t.c.directory");
    topic(&kafka, topic_name);
    let producer: BaseProducer = base_config(&bootstrap)
        .set("transactional.id", "t.c")
        .create()
        .unwrap();
    producer.init_transactions(Duration::from_secs(20)).unwrap();
    for (name, commit) in [("kept", true), ("dropped", false)] {
        producer.begin_transaction().unwrap();
        let (key, value) = user(name, "x").encode();
        let value = value.unwrap();
        producer
            .send(BaseRecord::to(topic_name).key(&key).payload(&value))
            .map_err(|e| e.0)
            .unwrap();
        producer.flush(Duration::from_secs(10)).unwrap();
        if commit {
            producer
                .commit_transaction(Duration::from_secs(10))
                .unwrap();
        } else {
            producer.abort_transaction(Duration::from_secs(10)).unwrap();
        }
    }
    let started = Instant::now();
    let read = read_all(&bootstrap, topic_name, soon()).unwrap();
    assert_eq!(read.keys().collect::<Vec<_>>(), ["user/kept"]);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn a_newer_record_stops_the_reader() {
    let kafka = support::shared();
    let (bootstrap, topic_name) = (kafka.bootstrap(), "__mqtt.t.d.directory");
    topic(&kafka, topic_name);
    let producer: BaseProducer = base_config(&bootstrap).create().unwrap();
    producer
        .send(
            BaseRecord::to(topic_name)
                .key("user/x")
                .payload(r#"{"v":99}"#),
        )
        .map_err(|e| e.0)
        .unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
    let error = read_all(&bootstrap, topic_name, soon()).unwrap_err();
    assert!(
        matches!(
            &error,
            ReadError::Record(DirectoryError::Newer { found: 99, .. })
        ),
        "{error}"
    );
    assert!(!error.is_retryable());
}

#[test]
fn an_absent_topic_is_a_refusal_and_no_topic_appears() {
    let kafka = support::shared();
    let bootstrap = kafka.bootstrap();
    let error = read_all(&bootstrap, "__mqtt.t.absent", soon()).unwrap_err();
    assert!(
        matches!(error, ReadError::Kafka(AdminError::Rejected { .. })),
        "{error}"
    );
    let writer = DirectoryWriter::new(&bootstrap, "__mqtt.t.absent").unwrap();
    let deadline = Instant::now() + Duration::from_secs(2);
    assert!(writer.write(&[user("a", "b")], deadline).is_err());
    let admin = Admin::new(&bootstrap).unwrap();
    assert_eq!(
        admin.describe(&["__mqtt.t.absent"]).unwrap()["__mqtt.t.absent"],
        None
    );
}
