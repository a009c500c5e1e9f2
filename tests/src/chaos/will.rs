//! A device whose connections end in every way, each with a will of its own.

use std::sync::Arc;
use std::time::Duration;

use isthmus_mqtt::Version;
use rand::Rng as _;
use tokio::time::{Instant, sleep, sleep_until};

use super::ledger::Promise;
use super::wire::{Connection, Pace, pause};
use super::world::{Phase, World};
use crate::Options;
use crate::client::{Event, WillOptions};

/// Connects and ends until the run settles. A will is due once its CONNECT was answered, unless its
/// connection ended with a DISCONNECT; one whose CONNECT was not answered may come or not.
pub(super) async fn run(world: Arc<World>, stream: usize, options: Options) {
    let mut random = world.random(&options.client_id);
    world.reaches(Phase::Running).await;
    let ledger = &world.ledger;
    let mut before: Option<(Connection, usize)> = None;
    loop {
        let number = ledger.send(stream);
        let entry = &ledger.streams[stream];
        let mut options = options.clone();
        // Of every kind of session, among them those that end with their connection.
        options.clean = number.is_multiple_of(3);
        options.session_expiry = (options.version == Version::V5 && !options.clean).then_some(600);
        options.will = Some(WillOptions {
            topic: entry.topic(number),
            payload: entry.payload(number),
            qos: entry.qos(number),
            retain: false,
            delay: 0,
        });
        let address = world.address(random.random_range(0..world.addresses.len()));
        let opened = Connection::open(address, &options, Pace::FAST).await;
        drop(before.take());
        let mut connection = match opened {
            Ok((connection, _)) => connection,
            Err(refusal) => {
                world.refused(&options.client_id, &refusal);
                if world.phase() >= Phase::Settling {
                    return;
                }
                pause(&mut random).await;
                continue;
            }
        };
        ledger.promise(stream, number, Promise::Given);
        let until = Instant::now() + Duration::from_millis(random.random_range(300..6_000));
        let lost = loop {
            tokio::select! {
                event = connection.next() => if event == Event::Closed {
                    break true;
                },
                () = sleep_until(until) => break false,
                () = world.reaches(Phase::Settling) => break false,
            }
        };
        if world.phase() >= Phase::Settling && !lost {
            end(&world, connection, stream, number).await;
            return;
        }
        if !lost {
            match random.random_range(0..3) {
                0 => end(&world, connection, stream, number).await,
                1 => drop(connection),
                _ => before = Some((connection, number)),
            }
        }
        sleep(Duration::from_millis(random.random_range(50..1_500))).await;
    }
}

/// An orderly end. Not answered, it may have been heard or not.
async fn end(world: &World, connection: Connection, stream: usize, number: usize) {
    // From the moment it is sent, since the service may act on it at once.
    world.ledger.promise(stream, number, Promise::Withdrawn);
    if !connection.disconnect().await {
        world.ledger.promise(stream, number, Promise::Open);
    }
}
