//! Devices that stay for a moment: they say a few things, or look at a retained value, and go.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use isthmus_mqtt::{AckType, QoS};
use rand::Rng as _;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::ledger::Promise;
use super::wire::{Connection, Pace};
use super::world::{Phase, World};
use crate::Options;
use crate::client::{
    Event,
    packets::{Filter, Outgoing, subscribe},
};

/// Longer than any recovery.
const PATIENCE: Duration = Duration::from_secs(150);

/// Connects, says three things, and goes with or without a word, until the run settles. What was not
/// acknowledged by then is never said again.
pub(super) async fn churn(world: Arc<World>, stream: usize, options: Options) {
    let mut random = world.random(&options.client_id);
    world.reaches(Phase::Running).await;
    while world.phase() < Phase::Settling {
        let mut options = options.clone();
        options.clean = random.random_bool(0.7);
        let opened = world.connect(&options, Pace::FAST, &mut random).await;
        let Some((mut connection, _)) = opened else {
            return;
        };
        let mut waiting = Vec::new();
        for id in 1..=3_u16 {
            let number = world.ledger.send(stream);
            let entry = &world.ledger.streams[stream];
            let message = Outgoing::new(&entry.topic(number), entry.payload(number));
            let user = message.user_properties();
            connection.send(&message.packet(id, false, &user)).await;
            waiting.push((id, number));
        }
        let hear = hear(&world, &mut connection, stream, &mut waiting);
        let patience = Duration::from_millis(random.random_range(200..20_000));
        if timeout(patience, hear).await.is_ok() && waiting.is_empty() {
            world.got_on(world.ledger.streams[stream].class());
        }
        if random.random_bool(0.5) {
            connection.disconnect().await;
        }
        sleep(Duration::from_millis(random.random_range(100..2_000))).await;
    }
}

async fn hear(
    world: &World,
    connection: &mut Connection,
    stream: usize,
    waiting: &mut Vec<(u16, usize)>,
) {
    while !waiting.is_empty() {
        match connection.next().await {
            Event::Ack(AckType::PubAck, id, code) if code < 0x80 => {
                let Some(at) = waiting.iter().position(|(waits, _)| *waits == id) else {
                    continue;
                };
                let (_, number) = waiting.remove(at);
                world.ledger.promise(stream, number, Promise::Given);
            }
            Event::Closed => return,
            _ => {}
        }
    }
}

/// Subscribes anew to one retained value after the other: the first message has to be the value that
/// was acknowledged before the SUBSCRIBE, or a later one.
pub(super) async fn look(world: Arc<World>, values: Vec<usize>, options: Options) {
    let mut random = world.random(&options.client_id);
    world.reaches(Phase::Running).await;
    while world.phase() < Phase::Settling {
        let opened = world.connect(&options, Pace::FAST, &mut random).await;
        let Some((mut connection, _)) = opened else {
            return;
        };
        let stream = values[random.random_range(0..values.len())];
        if let Some(floor) = world.ledger.last_given(stream) {
            let topic = world.ledger.streams[stream].topic(floor);
            let filters = [Filter::new(&topic, QoS::AtLeastOnce)];
            connection.send(&subscribe(1, None, &filters)).await;
            check(&world, &mut connection, stream, floor).await;
        }
        connection.disconnect().await;
        sleep(Duration::from_millis(random.random_range(100..1_000))).await;
    }
}

async fn check(world: &World, connection: &mut Connection, stream: usize, floor: usize) {
    let ledger = &world.ledger;
    let name = &ledger.streams[stream].name;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match timeout_at(deadline, connection.next()).await {
            Ok(Event::Message(message)) => {
                match ledger.identify(&message.payload) {
                    Some((found, number)) if found == stream && number >= floor => {
                        world.retained_checks.fetch_add(1, Ordering::Relaxed);
                        world.got_on("retained values read");
                    }
                    found => ledger.break_promise(format!(
                        "retained {name}: {found:?} (stream, number) where {floor} was acknowledged"
                    )),
                }
                return;
            }
            // Without the connection there is nothing to judge.
            Ok(Event::Closed) => return,
            Ok(_) => {}
            Err(_) => {
                let what = format!("retained {name}:{floor} or later is not replayed");
                ledger.break_promise(what);
                return;
            }
        }
    }
}

/// A clean session that takes QoS 0 messages.
pub(super) async fn listen(world: Arc<World>, options: Options) {
    let mut random = world.random(&options.client_id);
    while let Some((mut connection, _)) = world.connect(&options, Pace::FAST, &mut random).await {
        let filters = [Filter::new("live/#", QoS::AtMostOnce)];
        connection.send(&subscribe(1, None, &filters)).await;
        loop {
            tokio::select! {
                event = connection.next() => match event {
                    Event::Closed => break,
                    Event::Message(_) => {
                        world.live_messages.fetch_add(1, Ordering::Relaxed);
                        world.got_on(LIVE);
                    }
                    _ => {}
                },
                () = world.reaches(Phase::Over) => return,
            }
        }
    }
}

/// The name of QoS 0 traffic among those that have to get on.
pub(super) const LIVE: &str = "QoS 0, live";

/// Sends QoS 0 messages all the time.
pub(super) async fn talk(world: Arc<World>, options: Options) {
    let mut random = world.random(&options.client_id);
    while let Some((mut connection, _)) = world.connect(&options, Pace::FAST, &mut random).await {
        loop {
            tokio::select! {
                event = connection.next() => if event == Event::Closed {
                    break;
                },
                () = sleep(Duration::from_millis(200)) => {
                    let message = Outgoing::new("live/x", "tick").qos(QoS::AtMostOnce);
                    let user = message.user_properties();
                    connection.send(&message.packet(0, false, &user)).await;
                }
                () = world.reaches(Phase::Over) => return,
            }
        }
    }
}
