//! What is confirmed, refused and held, while Kafka is there.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use isthmus_kafka::producer::{Outcome, Producer, ProducerSettings, Refusal};
use isthmus_kafka::record::{Message, Record};

use crate::kafka::{Events, Kafka, cpu, events, shared, spread, unique};

pub(crate) fn producer(
    kafka: &Kafka,
    settings: ProducerSettings,
) -> (Producer, Events<(u64, Outcome)>) {
    let (sender, done) = events();
    let report = move |token, outcome| sender.send((token, outcome)).unwrap_or_default();
    (
        Producer::new(kafka.bootstrap(), "test", settings, report).unwrap(),
        done,
    )
}

/// A record whose value begins with its number.
pub(crate) fn send(producer: &Producer, topic: &str, key: &str, number: u64, size: usize) {
    let mut value = number.to_be_bytes().to_vec();
    value.resize(size.max(8), b'x');
    let seq = number.to_string();
    producer.produce(
        number,
        &Record {
            topic,
            key: Some(key.as_bytes()),
            value: Some(&value),
            headers: &[
                ("seq", Some(seq.as_bytes())),
                ("none", None),
                ("empty", Some(b"")),
            ],
            ..Record::default()
        },
    );
}

pub(crate) fn number(message: &Message) -> u64 {
    u64::from_be_bytes(message.value.as_ref().unwrap()[..8].try_into().unwrap())
}

/// The numbers under each key, as they stand in Kafka.
pub(crate) fn by_key(messages: &[Message]) -> HashMap<Vec<u8>, Vec<u64>> {
    let mut keys: HashMap<_, Vec<u64>> = HashMap::new();
    for message in messages {
        keys.entry(message.key.clone().unwrap())
            .or_default()
            .push(number(message));
    }
    keys
}

fn stored(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Stored { offset: 0.., .. })
}

#[test]
fn one_record_is_confirmed_quickly_and_as_it_was() {
    let kafka = shared();
    let topic = kafka.topic("single", 4);
    let (producer, done) = producer(&kafka, ProducerSettings::default());
    let mut times = Vec::new();
    for number in 0..300 {
        let start = Instant::now();
        send(&producer, &topic, "key", number, 100);
        let (token, outcome) = done.next();
        times.push(start.elapsed());
        assert_eq!(token, number);
        assert!(stored(&outcome));
        thread::sleep(Duration::from_millis(2));
    }
    println!("single record: {}", spread(times.split_off(20)));
    assert_eq!(
        (producer.backlog_bytes(), producer.backlog_records()),
        (0, 0)
    );
    let messages = kafka.read(&topic, 4);
    assert_eq!(messages.len(), 300);
    let first = &messages[0];
    assert_eq!(first.key.as_deref(), Some(&b"key"[..]));
    assert_eq!(
        first.headers,
        [
            ("seq".to_owned(), Some(b"0".to_vec())),
            ("none".to_owned(), None),
            ("empty".to_owned(), Some(Vec::new())),
        ]
    );
    // Murmur2 of "key" by Kafka's own sign rule: what a Java producer computes over 4 partitions.
    assert!(
        messages
            .iter()
            .all(|message| message.partition == first.partition)
    );
    let before = cpu();
    thread::sleep(Duration::from_secs(2));
    println!(
        "idle: {:?} CPU in 2 s (other tests included)",
        cpu() - before
    );
    assert_eq!(producer.close(Instant::now() + Duration::from_secs(5)), 0);
}

#[test]
fn order_holds_under_load() {
    let kafka = shared();
    let topic = kafka.topic("load", 8);
    let (producer, done) = producer(&kafka, ProducerSettings::default());
    let (threads, each) = (4_u64, 15_000_u64);
    let (start, before) = (Instant::now(), cpu());
    thread::scope(|scope| {
        for thread in 0..threads {
            let (producer, topic) = (&producer, &topic);
            scope.spawn(move || {
                for number in 0..each {
                    while producer.backlog_bytes() > 32 << 20 {
                        thread::sleep(Duration::from_millis(1));
                    }
                    send(
                        producer,
                        topic,
                        &format!("k{thread}"),
                        thread * each + number,
                        1024,
                    );
                }
            });
        }
    });
    let mut last: HashMap<u64, u64> = HashMap::new();
    for (token, outcome) in done.take((threads * each) as usize) {
        assert!(stored(&outcome));
        if let Some(last) = last.insert(token / each, token) {
            assert_eq!(token, last + 1, "confirmations are in order");
        }
    }
    let (took, used) = (start.elapsed(), cpu() - before);
    println!(
        "load: {:.0} records of 1 KB a second, {:.1} us CPU each (test included)",
        (threads * each) as f64 / took.as_secs_f64(),
        used.as_micros() as f64 / (threads * each) as f64
    );
    for (key, numbers) in by_key(&kafka.read(&topic, 8)) {
        assert_eq!(numbers.len() as u64, each, "{key:?}");
        assert!(numbers.is_sorted_by(|a, b| a < b));
    }
}

#[test]
fn a_missing_topic_is_held_and_flows_in_order_once_it_is_there() {
    let kafka = shared();
    let (topic, other) = (unique("missing"), kafka.topic("other", 1));
    let (producer, done) = producer(&kafka, ProducerSettings::default());
    for number in 0..50 {
        send(&producer, &topic, &format!("k{}", number % 3), number, 100);
    }
    let start = Instant::now();
    while producer.held_topics().is_empty() {
        thread::sleep(Duration::from_millis(10));
    }
    println!(
        "held after {:.1?}: {:?}",
        start.elapsed(),
        producer.held_topics()
    );
    for number in 50..100 {
        send(&producer, &topic, &format!("k{}", number % 3), number, 100);
    }
    send(&producer, &other, "k", 1000, 100);
    assert_eq!(done.next().0, 1000, "another topic does not wait");
    done.none_for(Duration::from_secs(3));
    assert_eq!(producer.backlog_records(), 100);
    assert!(producer.backlog_bytes() > 10_000);
    let held = producer.held_topics();
    assert_eq!((held.len(), held[0].records), (1, 100), "{held:?}");
    kafka.create(&topic, 3, &[]);
    let start = Instant::now();
    let outcomes = done.take(100);
    println!("created; all stored after {:.1?}", start.elapsed());
    assert!(outcomes.iter().all(|(_, outcome)| stored(outcome)));
    for (_, numbers) in by_key(&kafka.read(&topic, 3)) {
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    }
    assert_eq!(
        (producer.backlog_bytes(), producer.held_topics().len()),
        (0, 0)
    );
    send(&producer, &topic, "k", 2000, 100);
    assert_eq!(done.next().0, 2000);
}

#[test]
fn an_oversize_record_is_refused_alone() {
    let kafka = shared();
    let topic = unique("oversize");
    kafka.create(&topic, 2, &[("max.message.bytes", "300000")]);
    let (producer, done) = producer(&kafka, ProducerSettings::default());
    for number in 0..=1000 {
        let size = if number == 500 { 400_000 } else { 1000 };
        send(&producer, &topic, &format!("k{}", number % 2), number, size);
    }
    check_one_refused(&done.take(1001), 500);
    let keys = by_key(&kafka.read(&topic, 2));
    let total: usize = keys.values().map(Vec::len).sum();
    println!("oversize: {total} records stored for 1000");
    assert_eq!(total, 1000, "the refusal repeats nothing");
    assert!(keys.values().all(|numbers| numbers.is_sorted()));
}

#[test]
fn an_oversize_record_among_batches_above_the_limit_is_found() {
    let kafka = shared();
    let topic = unique("small-batches");
    kafka.create(&topic, 1, &[("max.message.bytes", "50000")]);
    let (producer, done) = producer(&kafka, ProducerSettings::default());
    for number in 0..=1000 {
        let size = if number == 500 { 60_000 } else { 1000 };
        send(&producer, &topic, "k", number, size);
    }
    let start = Instant::now();
    let outcomes = done.take(1001);
    println!("small batches: all answered after {:.1?}", start.elapsed());
    assert!(
        outcomes.iter().map(|(token, _)| *token).is_sorted(),
        "in order, the refusal too"
    );
    check_one_refused(&outcomes, 500);
    let keys = by_key(&kafka.read(&topic, 1));
    let mut last_copies = keys[&b"k"[..]].clone();
    println!(
        "small batches: {} records stored for 1000",
        last_copies.len()
    );
    last_copies.reverse();
    let mut seen = std::collections::HashSet::new();
    last_copies.retain(|number| seen.insert(*number));
    assert_eq!(last_copies.len(), 1000);
    assert!(
        last_copies.is_sorted_by(|a, b| a > b),
        "the last copies stand in order"
    );
}

fn check_one_refused(outcomes: &[(u64, Outcome)], culprit: u64) {
    for (token, outcome) in outcomes {
        if *token == culprit {
            assert_eq!(*outcome, Outcome::Refused(Refusal::TooLarge));
        } else {
            assert!(stored(outcome), "{token}: {outcome:?}");
        }
    }
}

#[test]
fn larger_than_the_producer_itself_takes() {
    let kafka = shared();
    let topic = kafka.topic("local", 1);
    let settings = ProducerSettings {
        max_record_bytes: 100_000,
        ..ProducerSettings::default()
    };
    let (producer, done) = producer(&kafka, settings);
    send(&producer, &topic, "k", 0, 100);
    send(&producer, &topic, "k", 1, 200_000);
    send(&producer, &topic, "k", 2, 100);
    let outcomes = done.take(3);
    assert!(
        outcomes.iter().map(|(token, _)| *token).is_sorted(),
        "{outcomes:?}"
    );
    check_one_refused(&outcomes, 1);
}

#[test]
fn a_record_without_a_key_is_refused_alone_by_a_compacted_topic() {
    let kafka = shared();
    let topic = unique("compacted");
    kafka.create(&topic, 1, &[("cleanup.policy", "compact")]);
    let (producer, done) = producer(&kafka, ProducerSettings::default());
    send(&producer, &topic, "k", 0, 100);
    producer.produce(
        1,
        &Record {
            topic: &topic,
            value: Some(b"v"),
            ..Record::default()
        },
    );
    send(&producer, &topic, "k", 2, 100);
    let outcomes = done.take(3);
    let refused: Vec<_> = outcomes
        .iter()
        .filter(|(_, outcome)| !stored(outcome))
        .map(|(token, _)| *token)
        .collect();
    assert_eq!(refused, [1], "{outcomes:?}");
}

/// librdkafka's own stand-in for Kafka is the one that can answer so.
#[test]
fn a_client_that_breaks_is_replaced_and_repeats_what_it_held() {
    use rdkafka::consumer::Consumer as _;
    let mock = rdkafka::mocking::MockCluster::new(1).unwrap();
    mock.create_topic("t", 1, 1).unwrap();
    let (sender, done) = events();
    let report = move |token, outcome| sender.send((token, outcome)).unwrap_or_default();
    let bootstrap = mock.bootstrap_servers();
    let producer = Producer::new(&bootstrap, "test", ProducerSettings::default(), report).unwrap();
    send(&producer, "t", "k", 0, 100);
    assert_eq!(done.next().0, 0);
    let broken = rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    mock.request_errors(rdkafka::types::RDKafkaApiKey::Produce, &[broken; 2]);
    let start = Instant::now();
    for number in 1..2000 {
        send(&producer, "t", "k", number, 1000);
    }
    let outcomes = done.take(1999);
    println!("broken, replaced and repeated: {:.1?}", start.elapsed());
    assert!(producer.replacements() > 0);
    assert!(outcomes.iter().map(|(token, _)| *token).is_sorted());
    assert!(outcomes.iter().all(|(_, outcome)| stored(outcome)));
    let consumer: rdkafka::consumer::BaseConsumer = isthmus_kafka::client::base_config(&bootstrap)
        .set("group.id", "g")
        .create()
        .unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset("t", 0, rdkafka::Offset::Beginning)
        .unwrap();
    consumer.assign(&list).unwrap();
    let mut numbers = Vec::new();
    while numbers.last() != Some(&1999) {
        use rdkafka::Message as _;
        let message = consumer.poll(Duration::from_secs(20)).unwrap().unwrap();
        let value = message.payload().unwrap();
        numbers.push(u64::from_be_bytes(value[..8].try_into().unwrap()));
    }
    println!("{} records stored for 2000", numbers.len());
    let mut seen = std::collections::HashSet::new();
    numbers.retain(|number| seen.insert(*number));
    assert_eq!(numbers, (0..2000).collect::<Vec<_>>());
    assert_eq!(producer.held_topics(), []);
}
