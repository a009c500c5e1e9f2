//! Warming, following and restoring.

use std::thread;
use std::time::{Duration, Instant};

use isthmus_kafka::producer::ProducerSettings;
use isthmus_kafka::reader::{
    Reader, ReaderConfig, ReaderEvent, Restorer, Tip, read_partition_to_end,
};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::kafka::{Kafka, events, shared, unique};
use crate::producer::{number, producer, send};

fn config(kafka: &Kafka, topic: &str) -> ReaderConfig {
    ReaderConfig {
        connection: kafka.bootstrap().into(),
        name: "test-reader".to_owned(),
        topic: topic.to_owned(),
        partitions: None,
        extra: Vec::new(),
    }
}

fn transactional(kafka: &Kafka) -> BaseProducer {
    let producer: BaseProducer = kafka
        .client()
        .set("transactional.id", unique("tx"))
        .create()
        .unwrap();
    producer.init_transactions(Duration::from_secs(20)).unwrap();
    producer
}

fn write(producer: &BaseProducer, topic: &str, number: u64) {
    let value = number.to_be_bytes();
    let record = BaseRecord::<[u8], [u8]>::to(topic)
        .partition(0)
        .payload(&value[..]);
    producer.send(record).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
}

#[test]
fn a_reader_warms_once_and_follows() {
    let kafka = shared();
    let topic = kafka.topic("warm", 4);
    let (producer, done) = producer(&kafka, ProducerSettings::default());
    for number in 0..500 {
        send(&producer, &topic, &format!("k{number}"), number, 100);
    }
    done.take(500);
    let (sender, received) = events();
    let start = Instant::now();
    let reader = Reader::start(config(&kafka, &topic), move |event| {
        sender.send(event).unwrap_or_default();
    })
    .unwrap();
    let mut before = 0;
    let written = received.find(|event| match event {
        ReaderEvent::Record(_) => {
            before += 1;
            None
        }
        ReaderEvent::CaughtUp(ends) => Some(ends.values().sum::<i64>()),
    });
    println!(
        "500 records over 4 partitions warmed after {:.1?}",
        start.elapsed()
    );
    assert_eq!((before, written), (500, 500));
    let tip = Tip::new(&config(&kafka, &topic)).unwrap();
    let ends = || tip.ask(0..4).unwrap().values().sum::<i64>();
    assert_eq!(ends(), 500);
    for number in 500..510 {
        let start = Instant::now();
        send(&producer, &topic, "k", number, 100);
        match received.next() {
            ReaderEvent::Record(message) => assert_eq!(crate::producer::number(&message), number),
            ReaderEvent::CaughtUp(_) => panic!("caught up twice"),
        }
        if number == 509 {
            assert_eq!(ends(), 510);
            println!("followed after {:.1?}", start.elapsed());
        }
    }
    drop(reader);
}

#[test]
fn a_reader_waits_for_its_topic() {
    let kafka = shared();
    let topic = unique("late");
    let (sender, received) = events();
    let _reader = Reader::start(config(&kafka, &topic), move |event| {
        sender.send(event).unwrap_or_default();
    })
    .unwrap();
    received.none_for(Duration::from_millis(500));
    kafka.create(&topic, 2, &[]);
    let ends = std::collections::BTreeMap::from([(0, 0), (1, 0)]);
    assert_eq!(received.next(), ReaderEvent::CaughtUp(ends));
}

#[test]
fn the_end_is_behind_open_transactions() {
    let kafka = shared();
    let topic = kafka.topic("open", 1);
    let transactional = transactional(&kafka);
    transactional.begin_transaction().unwrap();
    write(&transactional, &topic, 1);
    let (bootstrap, name) = (kafka.bootstrap(), topic.clone());
    let restore = thread::spawn(move || {
        let mut numbers = Vec::new();
        let until = Instant::now() + Duration::from_secs(20);
        read_partition_to_end(&bootstrap, &name, 0, until, |message| {
            numbers.push(number(&message))
        })
        .unwrap();
        numbers
    });
    thread::sleep(Duration::from_millis(500));
    assert!(!restore.is_finished(), "the open transaction is waited for");
    transactional
        .commit_transaction(Duration::from_secs(10))
        .unwrap();
    assert_eq!(restore.join().unwrap(), [1]);
    // The last offsets are an aborted record and a marker now.
    transactional.begin_transaction().unwrap();
    write(&transactional, &topic, 2);
    transactional
        .abort_transaction(Duration::from_secs(10))
        .unwrap();
    let start = Instant::now();
    assert_eq!(
        kafka.read(&topic, 1).iter().map(number).collect::<Vec<_>>(),
        [1]
    );
    println!("read over an aborted end in {:.1?}", start.elapsed());
}

#[test]
fn a_restore_that_cannot_end_says_so() {
    let kafka = shared();
    let topic = kafka.topic("stuck", 1);
    let transactional = transactional(&kafka);
    transactional.begin_transaction().unwrap();
    write(&transactional, &topic, 1);
    let until = Instant::now() + Duration::from_millis(500);
    let error = read_partition_to_end(kafka.bootstrap(), &topic, 0, until, drop).unwrap_err();
    println!("{error}");
    transactional
        .abort_transaction(Duration::from_secs(10))
        .unwrap();
}

#[test]
fn thirty_two_partitions_are_restored_quickly() {
    let kafka = shared();
    let topic = kafka.topic("restore", 32);
    let (producer, done) = producer(&kafka, ProducerSettings::default());
    for number in 0..100 {
        send(&producer, &topic, &format!("k{number}"), number, 100);
    }
    done.take(100);
    let all: Vec<i32> = (0..32).collect();
    let until = || Instant::now() + Duration::from_secs(10);
    let start = Instant::now();
    let mut restorer = Restorer::new(kafka.bootstrap(), "test", &[]).unwrap();
    println!("made: {:.1?}", start.elapsed());
    for round in ["cold", "warm", "warm"] {
        let (start, mut count) = (Instant::now(), 0);
        restorer
            .read_to_end(&topic, &all, until(), |_| count += 1)
            .unwrap();
        println!("32 partitions at once ({round}): {:.1?}", start.elapsed());
        assert_eq!(count, 100);
    }
    let (start, mut count) = (Instant::now(), 0);
    for partition in all {
        restorer
            .read_to_end(&topic, &[partition], until(), |_| count += 1)
            .unwrap();
    }
    println!("32 partitions one by one: {:.1?}", start.elapsed());
    assert_eq!(count, 100);
}
