//! Bodies by offset.

use std::time::Instant;

use isthmus_kafka::fetch::Fetcher;
use isthmus_kafka::producer::ProducerSettings;
use isthmus_kafka::record::Record;

use crate::kafka::{events, shared, spread};
use crate::producer::{number, producer};

#[test]
fn records_are_found_by_offset() {
    let kafka = shared();
    let topic = kafka.topic("bodies", 2);
    let (producer, done) = producer(&kafka, ProducerSettings::default());
    for number in 0..10_000_u64 {
        let mut value = number.to_be_bytes().to_vec();
        value.resize(200, 0);
        let record = Record {
            topic: &topic,
            partition: Some((number % 2) as i32),
            value: Some(&value),
            ..Record::default()
        };
        producer.produce(number, &record);
    }
    done.take(10_000);
    let (sender, answers) = events();
    let fetcher = Fetcher::new(
        kafka.bootstrap(),
        "test-fetch",
        &topic,
        &[],
        move |token, bodies| {
            sender.send((token, bodies)).unwrap_or_default();
        },
    )
    .unwrap();
    // Offset n of partition p holds number 2n + p.
    let start = Instant::now();
    fetcher.fetch(1, 0, vec![3, 10, 11, 4000, 4999, 6000], 1 << 20);
    fetcher.fetch(2, 1, (0..1000).collect(), 1 << 20);
    fetcher.fetch(3, 0, vec![10, 4500], 1 << 20);
    fetcher.fetch(4, 0, Vec::new(), 1 << 20);
    let mut found = answers.take(4);
    println!("four requests in {:.1?}", start.elapsed());
    found.sort_by_key(|(token, _)| *token);
    let numbers = |index: usize| -> Vec<(i64, Option<u64>)> {
        let (_, bodies) = &found[index];
        bodies
            .iter()
            .map(|(offset, body)| (*offset, body.as_ref().map(|m| number(m))))
            .collect()
    };
    assert_eq!(
        numbers(0),
        [
            (3, Some(6)),
            (10, Some(20)),
            (11, Some(22)),
            (4000, Some(8000)),
            (4999, Some(9998)),
            (6000, None)
        ]
    );
    assert_eq!(numbers(1).len(), 1000);
    assert!(
        numbers(1)
            .iter()
            .all(|(offset, number)| *number == Some(*offset as u64 * 2 + 1))
    );
    assert_eq!(numbers(2), [(10, Some(20)), (4500, Some(9000))]);
    assert_eq!(numbers(3), []);
    fetcher.fetch(5, 0, (0..100).collect(), 1000);
    let (_, bodies) = answers.next();
    assert!((1..10).contains(&bodies.len()), "{}", bodies.len());
    let mut times = Vec::new();
    for round in 0..50 {
        let start = Instant::now();
        fetcher.fetch(100, 1, vec![round * 90, round * 90 + 3], 1 << 20);
        assert_eq!(answers.next().1.len(), 2);
        times.push(start.elapsed());
    }
    println!("two bodies: {}", spread(times));
}
