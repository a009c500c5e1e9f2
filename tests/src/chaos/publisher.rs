//! A device with a persistent session that repeats what is not acknowledged, is cut off at times, and
//! at times connects anew while its old connection is still open.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use isthmus_mqtt::{AckType, Packet, QoS};
use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep_until};

use super::ledger::Promise;
use super::stream::Route;
use super::wire::{Connection, Pace};
use super::world::{Phase, World};
use crate::Options;
use crate::client::{Event, packets::Outgoing};

const WINDOW: usize = 8;
const PING: Duration = Duration::from_secs(15);

struct Flight {
    id: u16,
    number: usize,
    qos: QoS,
    /// PUBREC has come: the message is stored, PUBREL is due.
    released: bool,
}

struct Device {
    world: Arc<World>,
    stream: usize,
    options: Options,
    flights: VecDeque<Flight>,
    random: StdRng,
}

/// Runs until the run settles and all is acknowledged.
pub(super) async fn run(world: Arc<World>, stream: usize, options: Options) {
    let random = world.random(&options.client_id);
    let mut device = Device {
        world,
        stream,
        options,
        flights: VecDeque::new(),
        random,
    };
    device.world.reaches(Phase::Running).await;
    let mut before: Option<Connection> = None;
    let mut known = false;
    loop {
        let opened = (device.world)
            .connect(&device.options, Pace::FAST, &mut device.random)
            .await;
        let Some((mut connection, welcome)) = opened else {
            return;
        };
        drop(before.take());
        if known && !welcome.session_present {
            let who = &device.options.client_id;
            let what = format!("the session of {who} is forgotten");
            device.world.ledger.break_promise(what);
        }
        known = true;
        device.repeat(&mut connection).await;
        match device.serve(&mut connection).await {
            End::Done => {
                connection.disconnect().await;
                return;
            }
            End::Lost => {}
            End::TakeOver => before = Some(connection),
        }
    }
}

enum End {
    Done,
    Lost,
    TakeOver,
}

impl Device {
    async fn serve(&mut self, connection: &mut Connection) -> End {
        let start = Instant::now();
        let period = self.world.period;
        let mut next = start + period.mul_f64(self.random.random_range(0.0..1.0));
        let mut ping = start + PING;
        let cut = start + Duration::from_millis(self.random.random_range(20_000..120_000));
        loop {
            let settling = self.world.phase() >= Phase::Settling;
            if settling && self.flights.is_empty() {
                return End::Done;
            }
            let may_send = !settling && self.flights.len() < WINDOW;
            tokio::select! {
                event = connection.next() => {
                    if !self.answer(connection, event).await {
                        return End::Lost;
                    }
                }
                () = sleep_until(next), if may_send => {
                    let spread = self.random.random_range(0.7..1.3);
                    next = Instant::now() + period.mul_f64(spread);
                    self.publish(connection).await;
                }
                () = sleep_until(ping) => {
                    ping = Instant::now() + PING;
                    connection.send(&Packet::PingReq).await;
                }
                () = sleep_until(cut), if !settling => {
                    if self.random.random_bool(0.5) {
                        self.world.takeovers.fetch_add(1, Ordering::Relaxed);
                        return End::TakeOver;
                    }
                    return End::Lost;
                }
                () = self.world.reaches(Phase::Settling), if !settling => {}
            }
        }
    }

    async fn publish(&mut self, connection: &mut Connection) {
        let number = self.world.ledger.send(self.stream);
        let flight = Flight {
            // The window is far smaller than the range of ids, so one that comes round is free.
            id: u16::try_from(number % 65_000 + 1).expect("an id"),
            number,
            qos: self.world.ledger.streams[self.stream].qos(number),
            released: false,
        };
        self.transmit(connection, &flight, false).await;
        self.flights.push_back(flight);
    }

    async fn transmit(&self, connection: &mut Connection, flight: &Flight, dup: bool) {
        let stream = &self.world.ledger.streams[self.stream];
        let number = flight.number;
        let mut message =
            Outgoing::new(&stream.topic(number), stream.payload(number)).qos(flight.qos);
        message.retain = matches!(stream.route, Route::State { .. });
        let user = message.user_properties();
        connection
            .send(&message.packet(flight.id, dup, &user))
            .await;
    }

    /// [MQTT-4.4.0-1]: what was sent and not acknowledged, in the order it was sent.
    async fn repeat(&self, connection: &mut Connection) {
        for flight in &self.flights {
            if flight.released {
                connection.acknowledge(AckType::PubRel, flight.id).await;
            } else {
                self.world.ledger.sent_again(self.stream, flight.number);
                self.transmit(connection, flight, true).await;
            }
        }
    }

    /// Takes one packet; false when the connection is gone.
    async fn answer(&mut self, connection: &mut Connection, event: Event) -> bool {
        let (kind, id, code) = match event {
            Event::Ack(kind, id, code) => (kind, id, code),
            Event::Closed | Event::Disconnect(_) => return false,
            _ => return true,
        };
        let who = &self.options.client_id;
        // 0x92: PUBCOMP for an id that was released before.
        if code >= 0x80 && code != 0x92 {
            let what = format!("{who}: {kind:?} refuses with {code:#04x}");
            self.world.ledger.break_promise(what);
        }
        let Some(at) = self.flights.iter().position(|flight| flight.id == id) else {
            return true;
        };
        match kind {
            AckType::PubRec => {
                self.in_order(at, QoS::ExactlyOnce);
                if !self.flights[at].released {
                    self.flights[at].released = true;
                    self.acknowledged(at);
                }
                connection.acknowledge(AckType::PubRel, id).await;
            }
            AckType::PubAck => {
                self.in_order(at, QoS::AtLeastOnce);
                self.acknowledged(at);
                self.flights.remove(at);
            }
            AckType::PubComp => {
                self.flights.remove(at);
            }
            AckType::PubRel => {}
        }
        true
    }

    /// [MQTT-4.6.0-2], [MQTT-4.6.0-3]: acknowledgements come in the order of the messages.
    fn in_order(&self, at: usize, qos: QoS) {
        let waits = |flight: &Flight| flight.qos == qos && !flight.released;
        let before = self.flights.iter().take(at).find(|flight| waits(flight));
        if let Some(before) = before
            && !self.flights[at].released
        {
            let (who, number) = (&self.options.client_id, self.flights[at].number);
            let what = format!("{who}: {number} acknowledged before {}", before.number);
            self.world.ledger.break_promise(what);
        }
    }

    fn acknowledged(&self, at: usize) {
        let (world, number) = (&self.world, self.flights[at].number);
        world.ledger.promise(self.stream, number, Promise::Given);
        world.got_on(&self.options.client_id);
    }
}
