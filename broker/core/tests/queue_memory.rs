//! What a long queue costs, seen from outside: a test process of its own.
#![allow(clippy::unwrap_used, reason = "test code")]

use isthmus_core::queue::{Entry, Queue};
use isthmus_mqtt::QoS;
use std::time::{Duration, Instant};

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = status.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn a_million_messages_are_sixteen_bytes_each_and_cheap_to_write_down() {
    const MESSAGES: usize = (1 << 20) + 1;
    let before = resident();
    let mut queue = Queue::default();
    let mut chunks = 0;
    let start = Instant::now();
    for offset in 0..MESSAGES {
        let entry = Entry::new(
            i64::try_from(offset).unwrap(),
            64,
            QoS::AtLeastOnce,
            false,
            None,
        );
        queue.push(entry, usize::MAX, u64::MAX);
        // As often as a busy shard commits.
        if offset % 1000 == 0 {
            chunks += queue.take_dirty().len();
        }
    }
    let (took, used) = (start.elapsed(), resident() - before);
    println!("{MESSAGES} messages: {used} bytes, {chunks} chunks written in {took:.1?}");
    assert!(used < MESSAGES * 16 + (1 << 20), "{used} bytes");
    assert!(took < Duration::from_secs(10), "{took:?}");
    while queue.head().is_some() {
        queue.pop_head();
    }
    assert!(queue.is_empty());
}
