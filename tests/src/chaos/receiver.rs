//! A device with a persistent session that notes every message, in its own way of reading.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use isthmus_mqtt::{AckType, Packet, QoS};
use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::ledger::Receiver;
use super::wire::{Connection, Pace};
use super::world::{Phase, World};
use crate::Options;
use crate::client::{Event, Message, packets};

/// How a receiver behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// Stays and reads.
    Steady,
    /// Is cut off at times and away for a while.
    Sleeper,
    /// Connects anew while its old connection is still open.
    Taker,
    /// Reads a few bytes now and then.
    Slow,
    /// Reads nothing for a long time, with the connection open.
    Deaf,
    /// Reads, and acknowledges nothing for a long time.
    Mute,
}

const PING: Duration = Duration::from_secs(15);

struct Device {
    world: Arc<World>,
    index: usize,
    options: Options,
    habit: Habit,
    random: StdRng,
    connections: u32,
    /// Packet ids of QoS 2 messages taken and not yet released: the receiver's half of "exactly once".
    taken: HashSet<u16>,
    /// What a mute receiver has not yet acknowledged, in order.
    withheld: Vec<(AckType, u16)>,
}

/// Subscribes, says so on `ready`, and receives until the run is over.
pub(super) async fn run(
    world: Arc<World>,
    index: usize,
    options: Options,
    habit: Habit,
    ready: mpsc::UnboundedSender<()>,
) {
    let random = world.random(&options.client_id);
    let mut device = Device {
        world,
        index,
        options,
        habit,
        random,
        connections: 0,
        taken: HashSet::new(),
        withheld: Vec::new(),
    };
    let mut before: Option<Connection> = None;
    let mut ready = Some(ready);
    loop {
        let pace = device.pace();
        let opened = (device.world)
            .connect(&device.options, pace, &mut device.random)
            .await;
        let Some((mut connection, welcome)) = opened else {
            return;
        };
        drop(before.take());
        device.connections += 1;
        device.withheld.clear();
        if let Some(done) = ready.take() {
            if !device.subscribe(&mut connection).await {
                ready = Some(done);
                continue;
            }
            let _ = done.send(());
        } else if !welcome.session_present {
            let who = &device.options.client_id;
            let what = format!("the session of {who} is forgotten");
            device.world.ledger.break_promise(what);
            device.taken.clear();
        }
        let lost = device.serve(&mut connection).await;
        if device.world.phase() == Phase::Over {
            connection.disconnect().await;
            return;
        }
        if !lost && device.habit == Habit::Taker {
            device.world.takeovers.fetch_add(1, Ordering::Relaxed);
            before = Some(connection);
        } else {
            drop(connection);
            if !lost {
                let away = Duration::from_millis(device.random.random_range(500..20_000));
                let world = Arc::clone(&device.world);
                tokio::select! {
                    () = sleep(away) => {}
                    () = world.reaches(Phase::Settling) => {}
                }
            }
        }
    }
}

impl Device {
    fn receiver(&self) -> &Receiver {
        &self.world.ledger.receivers[self.index]
    }

    fn settling(&self) -> bool {
        self.world.phase() >= Phase::Settling
    }

    fn pace(&self) -> Pace {
        if self.habit != Habit::Slow || self.settling() {
            return Pace::FAST;
        }
        Pace {
            bytes: 200,
            rest: Duration::from_millis(60),
        }
    }

    async fn subscribe(&mut self, connection: &mut Connection) -> bool {
        let (filters, qos) = (self.receiver().filters.clone(), self.receiver().qos);
        let filters: Vec<packets::Filter<'_>> = filters
            .iter()
            .map(|filter| packets::Filter::new(filter, qos))
            .collect();
        connection
            .send(&packets::subscribe(1, None, &filters))
            .await;
        loop {
            match connection.next().await {
                Event::SubAck(_, codes) => {
                    let granted = codes.iter().all(|code| *code == qos as u8);
                    assert!(granted, "{}: {codes:?}", self.options.client_id);
                    return true;
                }
                Event::Closed => return false,
                other => self.take(connection, other, false).await,
            }
        }
    }

    /// Receives until the connection is lost (true) or it is time for what the habit says (false).
    async fn serve(&mut self, connection: &mut Connection) -> bool {
        let world = Arc::clone(&self.world);
        let mut ping = Instant::now() + PING;
        let mut turn = self.next_turn();
        let mut mute = false;
        loop {
            let settling = self.settling();
            if settling {
                connection.pace = Pace::FAST;
                self.make_up(connection).await;
                mute = false;
            }
            let next = if settling {
                Phase::Over
            } else {
                Phase::Settling
            };
            tokio::select! {
                event = connection.next() => {
                    if event == Event::Closed {
                        return true;
                    }
                    self.take(connection, event, mute).await;
                }
                () = sleep_until(ping) => {
                    ping = Instant::now() + PING;
                    connection.send(&Packet::PingReq).await;
                }
                () = sleep_until(turn), if !settling => {
                    turn = self.next_turn();
                    match self.habit {
                        Habit::Steady | Habit::Slow => {}
                        Habit::Sleeper | Habit::Taker => return false,
                        Habit::Deaf => {
                            tokio::select! {
                                () = sleep_until(turn) => {}
                                () = world.reaches(Phase::Settling) => {}
                            }
                            turn = self.next_turn();
                        }
                        Habit::Mute => {
                            mute = !mute;
                            if !mute {
                                self.make_up(connection).await;
                            }
                        }
                    }
                }
                () = world.reaches(next) => {
                    if next == Phase::Over {
                        return false;
                    }
                }
            }
        }
    }

    fn next_turn(&mut self) -> Instant {
        Instant::now() + Duration::from_millis(self.random.random_range(8_000..45_000))
    }

    /// Acknowledges what was withheld.
    async fn make_up(&mut self, connection: &mut Connection) {
        for (kind, id) in std::mem::take(&mut self.withheld) {
            connection.acknowledge(kind, id).await;
        }
    }

    async fn take(&mut self, connection: &mut Connection, event: Event, mute: bool) {
        let (kind, id) = match event {
            Event::Message(message) => {
                self.note(&message);
                let kind = match message.qos {
                    QoS::AtMostOnce => return,
                    QoS::AtLeastOnce => AckType::PubAck,
                    QoS::ExactlyOnce => AckType::PubRec,
                };
                (kind, message.id)
            }
            Event::Ack(AckType::PubRel, id, _) => {
                self.taken.remove(&id);
                (AckType::PubComp, id)
            }
            _ => return,
        };
        if mute {
            self.withheld.push((kind, id));
        } else {
            connection.acknowledge(kind, id).await;
        }
    }

    fn note(&mut self, message: &Message) {
        let ledger = &self.world.ledger;
        if message.qos == QoS::ExactlyOnce && !self.taken.insert(message.id) {
            ledger.note_repeated_id();
            return;
        }
        let (name, payload) = (&message.topic, &message.payload);
        let (connection, dup) = (self.connections, message.dup);
        let known = ledger.receive(self.index, connection, name, payload, dup);
        if let Some((stream, at)) = known {
            // What had waited for this receiver says nothing of how it is now.
            self.world.got_as_far_as(&self.options.client_id, at);
            self.world.got_as_far_as(ledger.streams[stream].class(), at);
        }
    }
}
