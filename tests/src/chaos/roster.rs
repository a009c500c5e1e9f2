//! Who takes part: streams, receivers and their habits, in a fixed mix.

use std::sync::Arc;

use isthmus_mqtt::{QoS, Version};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

use super::fleet::SLOTS;
use super::ledger::{Ledger, Receiver};
use super::receiver::Habit;
use super::stream::{Mix, Route, Stream};
use super::world::World;
use super::{passers, probe, publisher, receiver, will};
use crate::Options;

/// Retained values, devices with wills, and short-lived devices.
const VALUES: usize = 20;
const WILLS: usize = 20;
const PASSERS: usize = 10;
const LOOKERS: usize = 4;

/// Everybody's messages and subscriptions.
pub(super) fn ledger(publishers: usize, subscribers: usize) -> Ledger {
    let mut streams = Vec::new();
    let mut add = |name: String, client: String, route: Route, mix: Mix| {
        streams.push(Stream::new(name, client, route, mix));
    };
    for n in 0..publishers {
        let mix = [Mix::One, Mix::Two, Mix::Both][n % 3];
        let ordered = n % 10 == 9;
        let route = Route::Device { n, ordered };
        add(format!("p{n}"), format!("pub-{n}"), route, mix);
    }
    for n in 0..VALUES {
        let (stored, mix) = (n % 2 == 0, [Mix::One, Mix::Two][n / 2 % 2]);
        let route = Route::State { n, stored };
        add(format!("v{n}"), format!("value-{n}"), route, mix);
    }
    for n in 0..WILLS {
        let mix = [Mix::One, Mix::Two][n / 2 % 2];
        add(format!("w{n}"), format!("will-{n}"), Route::Will { n }, mix);
    }
    for n in 0..PASSERS {
        let route = Route::Churn { n };
        add(format!("s{n}"), format!("passer-{n}"), route, Mix::One);
    }
    for n in 0..subscribers {
        let mix = [Mix::One, Mix::Two][n / 2 % 2];
        add(format!("c{n}"), format!("c{n}"), Route::Command { n }, mix);
    }
    add("all".into(), "all".into(), Route::Broadcast, Mix::One);
    Ledger::new(streams, receivers(subscribers))
}

fn receivers(subscribers: usize) -> Vec<Receiver> {
    let mut receivers = Vec::new();
    let mut add = |name: String, qos: QoS, filters: &[String]| {
        let filters = filters.to_vec();
        receivers.push(Receiver { name, filters, qos });
    };
    for n in 0..subscribers {
        let parent = if n % 10 == 9 { "orderMsg2mq-up" } else { "up" };
        let filters = [
            format!("{parent}/d{n}/#"),
            format!("d2d/{n}"),
            format!("cmd/{n}/#"),
        ];
        add(format!("sub-{n}"), BOTH[n / 2 % 2], &filters);
    }
    for (n, qos) in BOTH.into_iter().enumerate() {
        add(format!("watch-{n}"), qos, &["up/+/b".into()]);
        add(format!("wills-{n}"), qos, &["up/w/+".into()]);
        let states = ["state/#".into(), "up/state/#".into()];
        add(format!("states-{n}"), qos, &states);
        add(format!("passers-{n}"), qos, &["up/churn/+".into()]);
    }
    receivers
}

const BOTH: [QoS; 2] = [QoS::AtLeastOnce, QoS::ExactlyOnce];

/// Six of ten subscribers stay and read.
fn habit(n: usize) -> Habit {
    match n % 20 {
        3 => Habit::Taker,
        4 | 10 => Habit::Sleeper,
        6 | 13 => Habit::Slow,
        8 | 15 => Habit::Deaf,
        11 => Habit::Mute,
        _ => Habit::Steady,
    }
}

fn options(client: &str, n: usize) -> Options {
    let version = [Version::V311, Version::V5][n % 2];
    Options::new(client).persistent().version(version)
}

/// Starts everybody; each receiver says on `ready` that it is subscribed.
pub(super) fn start(world: &Arc<World>, ready: &UnboundedSender<()>, devices: &mut JoinSet<()>) {
    let ledger = &world.ledger;
    for (at, who) in ledger.receivers.iter().enumerate() {
        let habit = if who.name.starts_with("sub-") {
            habit(at)
        } else {
            Habit::Steady
        };
        if habit == Habit::Steady {
            world.follow(&who.name);
        }
        let mut options = options(&who.name, at);
        // A silent one without keep-alive is never found out; one with it is disconnected.
        options.keep_alive = if at % 3 == 0 { 0 } else { 30 };
        let device = receiver::run(Arc::clone(world), at, options, habit, ready.clone());
        devices.spawn(device);
    }
    let mut values = Vec::new();
    for (at, stream) in ledger.streams.iter().enumerate() {
        let (world, mut options) = (Arc::clone(world), options(&stream.client, at));
        world.follow(stream.class());
        match stream.route {
            Route::Device { .. } | Route::State { .. } => {
                if matches!(stream.route, Route::State { .. }) {
                    values.push(at);
                }
                options.keep_alive = 60;
                world.follow(&stream.client);
                devices.spawn(publisher::run(world, at, options));
            }
            Route::Churn { .. } => {
                devices.spawn(passers::churn(world, at, options));
            }
            Route::Will { .. } => {
                devices.spawn(will::run(world, at, options));
            }
            Route::Command { .. } | Route::Broadcast => {}
        }
    }
    for n in 0..LOOKERS {
        let options = Options::new(&format!("looker-{n}"));
        let device = passers::look(Arc::clone(world), values.clone(), options);
        devices.spawn(device);
    }
    for slot in 0..SLOTS {
        devices.spawn(probe::run(Arc::clone(world), slot, SLOTS));
    }
    world.follow("retained values read");
    world.follow(passers::LIVE);
    devices.spawn(passers::listen(
        Arc::clone(world),
        Options::new("live-listener"),
    ));
    devices.spawn(passers::talk(
        Arc::clone(world),
        Options::new("live-talker"),
    ));
}
