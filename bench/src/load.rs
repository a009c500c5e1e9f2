//! Messages through a broker: publishers, subscribers, one thread and one event loop.
//!
//! Every payload carries when it was to be sent, by whom, and its number; each subscriber checks
//! that a publisher's numbers come one after the other. What is sent is bounded by what has not
//! come back, so that no broker has a reason to drop; in the end all that was sent must be there.

mod ends;
mod payload;

use crate::client::Client;
use crate::peer::Peer;
use crate::system;
use ends::{Publisher, Subscriber, Tally};
use hdrhistogram::Histogram;
use mio::{Events, Poll};
use payload::HEADER;
use std::time::{Duration, Instant};

/// How long the last messages may take.
const DRAIN: Duration = Duration::from_secs(60);

/// Who sends what to whom.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    /// The topic of a publisher; `{}` stands for its number.
    pub(crate) topic: &'static str,
    /// The filter of a subscriber; `{}` stands for its number.
    pub(crate) filter: &'static str,
    pub(crate) qos: u8,
    pub(crate) payload: usize,
    /// Subscribers' sessions outlive their connections.
    pub(crate) persistent: bool,
    /// Messages of one publisher that are under way at most.
    pub(crate) window: usize,
    /// Messages a second, all publishers together; none: as many as come back.
    pub(crate) pace: Option<f64>,
    /// Kafka has a core to share with us: the clock is looked at each millisecond, not all the time.
    pub(crate) relaxed: bool,
}

impl Flow {
    /// How many subscribers get a message.
    fn fan(&self) -> u64 {
        match self.subscribers {
            0 => 0,
            n if self.filter.contains("{}") => u64::from(n > 0),
            n => n as u64,
        }
    }
}

/// What was measured between warm-up and end.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Messages delivered, or acknowledged where nobody subscribes, a second.
    pub(crate) rate: f64,
    /// The broker's CPU time for each, microseconds.
    pub(crate) cpu: f64,
    /// Nanoseconds from the time at which a message was due to be sent: until its acknowledgement,
    pub(crate) acknowledged: Histogram<u64>,
    /// and until a subscriber has it.
    pub(crate) delivered: Histogram<u64>,
    /// Shares of a core used by the broker and by the load generator.
    pub(crate) broker_busy: f64,
    pub(crate) load_busy: f64,
}

/// Runs a flow: connects, warms up, measures for `time`, stops sending and waits for the rest.
pub(crate) fn run(
    peer: &Peer,
    flow: &Flow,
    warm_up: Duration,
    time: Duration,
) -> anyhow::Result<Measured> {
    let load = Load::connect(peer, flow)?;
    system::hurry(true);
    let measured = load.run(peer, warm_up, time);
    system::hurry(false);
    measured
}

struct Load<'a> {
    flow: &'a Flow,
    poll: Poll,
    start: Instant,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    tally: Tally,
    payload: Vec<u8>,
    turn: usize,
    paced: u64,
    pace_from: u64,
}

impl<'a> Load<'a> {
    fn connect(peer: &Peer, flow: &'a Flow) -> anyhow::Result<Self> {
        anyhow::ensure!(
            flow.payload >= HEADER,
            "a payload of {HEADER} bytes at least"
        );
        let poll = Poll::new()?;
        // Names are new each time: a session of an earlier run would bring its messages.
        let run = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)?
            .as_millis();
        let mut subscribers = Vec::new();
        for number in 0..flow.subscribers {
            let name = format!("s-{run}-{number}");
            let filter = flow.filter.replace("{}", &number.to_string());
            let subscription = Some((filter.as_str(), flow.qos));
            let mut client =
                Client::connect(peer.address, number, &name, !flow.persistent, subscription)?;
            client.register(poll.registry(), flow.publishers + number)?;
            let next = vec![0; flow.publishers];
            subscribers.push(Subscriber { client, next });
        }
        let mut publishers = Vec::new();
        for number in 0..flow.publishers {
            let name = format!("p-{run}-{number}");
            let mut client = Client::connect(peer.address, number, &name, true, None)?;
            client.register(poll.registry(), number)?;
            publishers.push(Publisher {
                client,
                topic: flow.topic.replace("{}", &number.to_string()),
                sent: 0,
                done: 0,
                delivered: 0,
                next_id: 0,
                due: vec![0; (flow.window * 2).next_power_of_two()],
                dirty: false,
            });
        }
        let histogram = || Histogram::new_with_bounds(1, 120_000_000_000, 3);
        Ok(Self {
            flow,
            poll,
            start: Instant::now(),
            publishers,
            subscribers,
            tally: Tally {
                acknowledged: histogram()?,
                delivered: histogram()?,
                received: 0,
                recording: false,
            },
            payload: vec![b'x'; flow.payload],
            turn: 0,
            paced: 0,
            pace_from: 0,
        })
    }

    fn run(mut self, peer: &Peer, warm_up: Duration, time: Duration) -> anyhow::Result<Measured> {
        self.pace_from = self.now();
        self.go(warm_up)?;
        self.tally.recording = true;
        let (began, counted) = (Instant::now(), self.counted());
        let (broker, own) = (peer.cpu()?, system::own_cpu()?);
        self.go(time)?;
        let seconds = began.elapsed().as_secs_f64();
        let messages = (self.counted() - counted) as f64;
        let broker = (peer.cpu()? - broker).as_secs_f64();
        let own = (system::own_cpu()? - own).as_secs_f64();
        self.drain()?;
        Ok(Measured {
            rate: messages / seconds,
            cpu: broker * 1e6 / messages.max(1.0),
            acknowledged: self.tally.acknowledged,
            delivered: self.tally.delivered,
            broker_busy: broker / seconds,
            load_busy: own / seconds,
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Messages that count: deliveries, or acknowledgements where nobody subscribes.
    fn counted(&self) -> u64 {
        match self.flow.fan() {
            0 => self.publishers.iter().map(|p| p.done).sum(),
            _ => self.tally.received,
        }
    }

    fn go(&mut self, time: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.send()?;
            self.take()?;
        }
        Ok(())
    }

    /// Waits for what is under way; whatever is missing then is an error.
    fn drain(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + DRAIN;
        let fan = self.flow.fan();
        loop {
            let sent: u64 = self.publishers.iter().map(|p| p.sent).sum();
            let done: u64 = self.publishers.iter().map(|p| p.done).sum();
            let missing = sent - done + (sent * fan).saturating_sub(self.tally.received);
            if missing == 0 {
                return Ok(());
            }
            anyhow::ensure!(
                Instant::now() < until,
                "{sent} sent, {done} acknowledged, {} of {} delivered",
                self.tally.received,
                sent * fan
            );
            for publisher in &mut self.publishers {
                publisher.client.flush()?;
            }
            self.take()?;
        }
    }

    fn send(&mut self) -> anyhow::Result<()> {
        match self.flow.pace {
            None => self.fill()?,
            Some(rate) => self.keep_pace(rate),
        }
        for publisher in self.publishers.iter_mut().filter(|p| p.dirty) {
            publisher.dirty = false;
            publisher.client.flush()?;
        }
        Ok(())
    }

    /// Every publisher sends what its window has room for.
    fn fill(&mut self) -> anyhow::Result<()> {
        let now = self.now();
        let (fan, window, qos) = (self.flow.fan(), self.flow.window as u64, self.flow.qos);
        for (number, publisher) in self.publishers.iter_mut().enumerate() {
            while publisher.may_send(fan, window) {
                publisher.publish(qos, number, now, &mut self.payload);
                if !publisher.client.has_room() {
                    publisher.client.flush()?;
                }
            }
        }
        Ok(())
    }

    /// Sends what is due by now; what a full window holds back stays due.
    fn keep_pace(&mut self, rate: f64) {
        let now = self.now();
        let due = ((now - self.pace_from) as f64 * rate / 1e9) as u64;
        let (fan, window, qos) = (self.flow.fan(), self.flow.window as u64, self.flow.qos);
        while self.paced < due {
            let Some(publisher) = self.publishers.get_mut(self.turn) else {
                return;
            };
            if !publisher.may_send(fan, window) {
                return;
            }
            let at = self.pace_from + (self.paced as f64 * 1e9 / rate) as u64;
            publisher.publish(qos, self.turn, at, &mut self.payload);
            self.paced += 1;
            self.turn = (self.turn + 1) % self.flow.publishers;
        }
    }

    /// Takes what brokers sent, and answers it.
    fn take(&mut self) -> anyhow::Result<()> {
        let wait = match (self.flow.pace, self.flow.relaxed) {
            (Some(_), false) => Duration::ZERO,
            (Some(_), true) => Duration::from_millis(1),
            (None, _) => Duration::from_millis(100),
        };
        let mut events = Events::with_capacity(1024);
        let mut scratch = SCRATCH.take();
        scratch.resize(256 * 1024, 0);
        match self.poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        let now = self.now();
        for event in &events {
            let number = event.token().0;
            if let Some(publisher) = self.publishers.get_mut(number) {
                if event.is_writable() {
                    publisher.client.writable();
                    publisher.dirty = true;
                }
                if event.is_readable() {
                    publisher.acks(&mut scratch, &mut self.tally, now)?;
                }
                publisher.client.flush()?;
            } else if let Some(subscriber) = self.subscribers.get_mut(number - self.flow.publishers)
            {
                if event.is_writable() {
                    subscriber.client.writable();
                }
                if event.is_readable() {
                    subscriber.messages(
                        &mut scratch,
                        &mut self.publishers,
                        &mut self.tally,
                        now,
                    )?;
                }
                subscriber.client.flush()?;
            }
        }
        SCRATCH.set(scratch);
        Ok(())
    }
}

thread_local! {
    /// What is read at once; kept from turn to turn.
    static SCRATCH: std::cell::Cell<Vec<u8>> = const { std::cell::Cell::new(Vec::new()) };
}
