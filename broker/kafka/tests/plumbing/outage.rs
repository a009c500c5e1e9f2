//! Kafka is killed (-9) and comes back.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use isthmus_kafka::producer::{Outcome, ProducerSettings};
use isthmus_kafka::transactor::Done;

use crate::kafka::{Kafka, events};
use crate::producer::{by_key, producer, send};
use crate::transactor::{Bench, committed, counter};

#[test]
fn nothing_is_lost_or_reordered_when_kafka_is_killed() {
    let kafka = Kafka::start();
    let topic = kafka.topic("killed", 4);
    let (producer, done) = producer(&kafka, ProducerSettings::default());
    let stop = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..20 {
                    send(&producer, &topic, &format!("k{}", number % 10), number, 500);
                    number += 1;
                }
                thread::sleep(Duration::from_millis(5));
            }
            number
        });
        for _ in 0..2 {
            thread::sleep(Duration::from_secs(1));
            kafka.kill();
            thread::sleep(Duration::from_secs(2));
            kafka.restart();
        }
        thread::sleep(Duration::from_secs(1));
        stop.store(true, Ordering::Relaxed);
        traffic.join().unwrap()
    });
    let back = Instant::now();
    let mut last: HashMap<u64, u64> = HashMap::new();
    for (token, outcome) in done.take(sent as usize) {
        assert!(matches!(outcome, Outcome::Stored { .. }), "{outcome:?}");
        if let Some(last) = last.insert(token % 10, token) {
            assert_eq!(token, last + 10, "confirmations are in order per key");
        }
    }
    println!(
        "{sent} records over two kills; the last confirmed {:.1?} after",
        back.elapsed()
    );
    let messages = kafka.read(&topic, 4);
    println!("{} records stored for {sent}", messages.len());
    let mut distinct = 0;
    for (key, numbers) in by_key(&messages) {
        let mut seen = HashSet::new();
        let first: Vec<u64> = numbers
            .into_iter()
            .filter(|number| seen.insert(*number))
            .collect();
        assert!(first.is_sorted_by(|a, b| a < b), "{key:?}");
        distinct += first.len() as u64;
    }
    assert_eq!(distinct, sent);
}

#[test]
fn transactions_go_on_when_kafka_is_killed() {
    let kafka = Kafka::start();
    let bench = Bench::new(&kafka, "tx-killed", 4);
    let (sender, done) = events();
    let transactor = bench.transactor(&kafka.bootstrap(), sender);
    let stop = AtomicBool::new(false);
    let (changes, transactor) = (bench.changes(), &transactor);
    let sent = thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                transactor.submit(changes.change(number, (number % 4) as i32));
                number += 1;
                thread::sleep(Duration::from_millis(2));
            }
            number
        });
        for _ in 0..2 {
            thread::sleep(Duration::from_secs(2));
            kafka.kill();
            thread::sleep(Duration::from_secs(1));
            kafka.restart();
        }
        thread::sleep(Duration::from_secs(1));
        stop.store(true, Ordering::Relaxed);
        traffic.join().unwrap()
    });
    // An outage beyond the session timeout may cost the group; then the rest is told as fenced.
    let outcomes = done.take(sent as usize);
    let (good, fenced) = counter(&outcomes);
    println!("{sent} changes over two kills: {good} committed, {fenced} fenced");
    let tokens: Vec<u64> = committed(&outcomes);
    assert!(tokens.is_sorted_by(|a, b| a < b), "answers are in order");
    let mut stored: Vec<u64> = Vec::new();
    for partition in 0..4 {
        let numbers = bench.stored(&kafka, partition);
        assert!(
            numbers.is_sorted_by(|a, b| a < b),
            "once each and in order: {numbers:?}"
        );
        stored.extend(numbers);
    }
    stored.sort_unstable();
    assert_eq!(
        stored, tokens,
        "visible is exactly what was said to be committed"
    );
}

/// Many producers, so that a stop finds one at every step of a transaction.
#[test]
fn transactions_go_on_when_kafka_is_stopped() {
    const PODS: usize = 8;
    let rounds = std::env::var("ISTHMUS_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap());
    let kafka = Kafka::start();
    let benches: Vec<Bench> = (0..PODS)
        .map(|pod| Bench::new(&kafka, &format!("tx-stopped-{pod}"), 1))
        .collect();
    let stop = AtomicBool::new(false);
    let committed: Vec<AtomicU64> = (0..PODS).map(|_| AtomicU64::new(0)).collect();
    thread::scope(|scope| {
        for (bench, committed) in benches.iter().zip(&committed) {
            let (sender, done) = events();
            let transactor = bench.transactor(&kafka.bootstrap(), sender);
            let (changes, stop, name) = (bench.changes(), &stop, bench.id.clone());
            scope.spawn(move || {
                let mut number = 0;
                let mut said = None;
                while !stop.load(Ordering::Relaxed) {
                    if transactor.backlog_changes() == 0 {
                        transactor.submit(changes.change(number, 0));
                        number += 1;
                    }
                    while let Some((_, outcome)) = done.ready() {
                        let good = u64::from(outcome == Done::Committed);
                        committed.fetch_add(good, Ordering::Relaxed);
                    }
                    let stalled = transactor.stalled();
                    if stalled.is_some() && stalled != said {
                        println!("{name}: {stalled:?}");
                    }
                    said = stalled;
                    thread::sleep(Duration::from_millis(1));
                }
            });
        }
        for round in 0..rounds {
            thread::sleep(Duration::from_millis(1000 + round * 37 % 500));
            kafka.stop();
            kafka.restart();
            let back = Instant::now();
            let before: Vec<u64> = committed
                .iter()
                .map(|n| n.load(Ordering::Relaxed))
                .collect();
            let all = |least: u64| {
                let mut both = committed.iter().zip(&before);
                both.all(|(now, before)| now.load(Ordering::Relaxed) >= before + least)
            };
            while !all(2) && back.elapsed() < Duration::from_secs(60) {
                thread::sleep(Duration::from_millis(20));
            }
            println!("round {round}: all go on after {:.1?}", back.elapsed());
            if !all(2) {
                stop.store(true, Ordering::Relaxed);
                panic!("not all go on");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}
