//! How long slots take to be served again, and what their sessions cost in memory, as sessions and
//! queued messages grow; and a restart of all brokers in turn, after which no session is missing.

use super::Instance;
use crate::client::Client;
use crate::memory;
use crate::system::Cores;
use isthmus_tests::Kafka;
use rustix::process::Signal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Sessions that are online when the brokers restart.
const ONLINE: usize = 2000;

/// One row of the table.
pub(crate) struct Row {
    pub(crate) sessions: usize,
    pub(crate) queued: usize,
    /// From kill -9 of a broker until it serves its slots again.
    pub(crate) restored: Duration,
    pub(crate) memory: u64,
}

/// What a restart of all brokers in turn came to.
pub(crate) struct Rolling {
    pub(crate) brokers: u16,
    pub(crate) each: Vec<Duration>,
    pub(crate) sessions: usize,
    pub(crate) lost: usize,
}

/// Grows an instance from row to row; in the end restarts its brokers.
pub(crate) fn run(
    cores: &Cores,
    kafka: &Kafka,
    brokers: u16,
    steps: &[(usize, usize)],
) -> anyhow::Result<(Vec<Row>, Rolling)> {
    let mut instance = Instance::start(cores, kafka, brokers)?;
    let mut rows = Vec::new();
    let (mut sessions, mut queued) = (0, 0);
    for (wanted, messages) in steps {
        instance.clients(sessions..*wanted, false, |number, mut client| {
            client.subscribe(&[format!("away/{number}")], 1)
        })?;
        sessions = *wanted;
        if sessions > 0 && *messages > queued {
            memory::publish(
                instance.address(0)?,
                sessions,
                (messages - queued) / sessions,
            )?;
            queued = *messages;
        }
        // What is due within a second is written by then.
        std::thread::sleep(Duration::from_secs(3));
        let memory = instance.memory()?;
        let start = Instant::now();
        instance.service.kill_broker_of(0);
        instance.service.wait_ready_of(0);
        let row = Row {
            sessions,
            queued,
            restored: start.elapsed(),
            memory,
        };
        eprintln!(
            "restore | {sessions} sessions, {queued} queued | {:.2?}, {} MB",
            row.restored,
            row.memory >> 20
        );
        rows.push(row);
    }
    let rolling = roll(&mut instance, sessions)?;
    Ok((rows, rolling))
}

fn roll(instance: &mut Instance, sessions: usize) -> anyhow::Result<Rolling> {
    let online: Mutex<Vec<Client>> = Mutex::default();
    instance.clients(0..ONLINE.min(sessions), false, |_, client| {
        if let Ok(mut online) = online.lock() {
            online.push(client);
        }
        Ok(())
    })?;
    let mut each = Vec::new();
    for broker in 0..instance.brokers {
        let start = Instant::now();
        let pid = instance.service.signal_broker(broker, Signal::TERM);
        while isthmus_tests::run::alive(pid) {
            anyhow::ensure!(
                start.elapsed() < Duration::from_secs(60),
                "broker {broker} does not end"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        instance.service.wait_ready_of(broker);
        each.push(start.elapsed());
        eprintln!(
            "rolling restart | broker {broker} | {:.2?}",
            start.elapsed()
        );
    }
    drop(online);
    let lost = AtomicUsize::new(0);
    instance.clients(0..sessions, false, |_, client| {
        lost.fetch_add(usize::from(!client.present), Ordering::Relaxed);
        Ok(())
    })?;
    let lost = lost.into_inner();
    anyhow::ensure!(lost == 0, "{lost} of {sessions} sessions are lost");
    Ok(Rolling {
        brokers: instance.brokers,
        each,
        sessions,
        lost,
    })
}
