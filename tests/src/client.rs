//! An MQTT client for tests, over TCP with the project's own codec: every packet it gets can be
//! looked at, and it does nothing that it was not told, except to acknowledge (unless told not to).
//!
//! Other people's clients are in `tests/sdk`; a fault that codec and broker share shows there.

mod options;
pub(crate) mod packets;
mod requests;

use std::collections::{HashSet, VecDeque};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use isthmus_mqtt::{AckType, Packet, QoS, Version, decode, encode};

pub use options::{Options, WillOptions};
pub use packets::{Event, Filter, Message, Outgoing, Welcome};

use crate::SOON;

/// Where the next connection to this address goes: `host:port+n` stands for n brokers at ports 10
/// apart, taken in turn, so that a publisher and a subscriber that connect one after the other are
/// at different ones.
#[must_use]
pub fn reach(address: &str) -> String {
    static TURN: AtomicU16 = AtomicU16::new(0);
    let parts = address.rsplit_once('+').and_then(|(first, brokers)| {
        let (host, port) = first.rsplit_once(':')?;
        Some((
            host,
            port.parse::<u16>().ok()?,
            brokers.parse::<u16>().ok()?,
        ))
    });
    match parts {
        Some((host, port, brokers)) => {
            let broker = TURN.fetch_add(1, Ordering::Relaxed) % brokers;
            format!("{host}:{}", port + 10 * broker)
        }
        None => address.to_owned(),
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub enum Refusal {
    /// CONNACK with this reason code (3.x: the one that means the same as its return code).
    Code(u8),
    /// The service closed the connection instead of answering.
    Closed,
    /// Nothing listens, or no answer came in time.
    Io(io::Error),
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    version: Version,
    bytes: Vec<u8>,
    events: VecDeque<Event>,
    next_id: u16,
    acknowledge: bool,
    /// Packet ids of QoS 2 messages taken and not yet released: the receiver's half of "exactly once".
    taken: HashSet<u16>,
    /// What the CONNACK said.
    pub welcome: Welcome,
}

impl Client {
    /// Connects and expects to be welcome.
    #[track_caller]
    #[must_use]
    pub fn connect(address: &str, options: &Options) -> Self {
        match Self::try_connect(address, options) {
            Ok(client) => client,
            Err(refusal) => panic!(
                "{} is not let in at {address}: {refusal:?}",
                options.client_id
            ),
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// The service refuses, closes the connection or is not there.
    pub fn try_connect(address: &str, options: &Options) -> Result<Self, Refusal> {
        let mut client = Self::open(address, options.version).map_err(Refusal::Io)?;
        client.acknowledge = options.acknowledge;
        client.taken.clone_from(&options.taken);
        client.next_id = options.next_id;
        client.transmit(&options.packet()).map_err(Refusal::Io)?;
        match client.poll(SOON) {
            Some(Event::Welcome(welcome)) if welcome.code == 0 => {
                if !welcome.session_present {
                    client.taken.clear();
                }
                client.welcome = welcome;
                Ok(client)
            }
            Some(Event::Welcome(welcome)) => Err(Refusal::Code(welcome.code)),
            Some(Event::Closed) => Err(Refusal::Closed),
            Some(other) => panic!("before CONNACK: {other:?}"),
            None => Err(Refusal::Io(ErrorKind::TimedOut.into())),
        }
    }

    /// A bare connection that has sent nothing.
    ///
    /// # Errors
    /// Nothing listens.
    pub fn open(address: &str, version: Version) -> io::Result<Self> {
        let stream = TcpStream::connect(reach(address))?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self {
            stream,
            version,
            bytes: Vec::new(),
            events: VecDeque::new(),
            next_id: 1,
            acknowledge: true,
            taken: HashSet::new(),
            welcome: Welcome::default(),
        })
    }

    /// The options with what this client's half of the session remembers, to connect again.
    #[must_use]
    pub fn remembering(&self, options: &Options) -> Options {
        Options {
            taken: self.taken.clone(),
            next_id: self.next_id,
            ..options.clone()
        }
    }

    /// Sends raw bytes.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a packet.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn transmit(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode::encode(packet, self.version, &mut bytes).expect("the packet has an encoding");
        self.write(&bytes)
    }

    /// The next thing that happens, in order, if something does within the time.
    pub fn poll(&mut self, within: Duration) -> Option<Event> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if !self.read(deadline) {
                return None;
            }
        }
    }

    /// The first event that `pick` takes, if there is one in time; the others stay in order.
    pub fn pick<T>(
        &mut self,
        within: Duration,
        mut pick: impl FnMut(&Event) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + within;
        let mut seen = 0;
        loop {
            while let Some(event) = self.events.get(seen) {
                if let Some(found) = pick(event) {
                    self.events.remove(seen);
                    return Some(found);
                }
                if matches!(event, Event::Closed) {
                    return None;
                }
                seen += 1;
            }
            if !self.read(deadline) {
                return None;
            }
        }
    }

    #[track_caller]
    fn expect<T>(&mut self, what: &str, pick: impl FnMut(&Event) -> Option<T>) -> T {
        match self.pick(SOON, pick) {
            Some(found) => found,
            None => panic!(
                "{what} did not come within {SOON:?}; instead: {:?}",
                self.events
            ),
        }
    }

    /// Reads once; false when the deadline has passed.
    fn read(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let mut chunk = [0; 65_536];
        self.stream
            .set_read_timeout(Some(left.max(Duration::from_millis(1))))
            .expect("time-out");
        match self.stream.read(&mut chunk) {
            Ok(0) => self.events.push_back(Event::Closed),
            Ok(count) => {
                self.bytes.extend_from_slice(&chunk[..count]);
                self.take_packets();
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.events.push_back(Event::Closed),
        }
        true
    }

    fn take_packets(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = &bytes[..];
        while let Some(frame) = decode::frame(rest, usize::MAX).expect("a legal packet") {
            let packet = decode::decode(frame, self.version).expect("a legal packet");
            if let Some(event) = Event::of(&packet) {
                self.happened(event);
            }
            rest = &rest[frame.len..];
        }
        self.bytes = rest.to_vec();
    }

    /// Answers what the protocol wants answered, and notes the event.
    fn happened(&mut self, event: Event) {
        if self.acknowledge {
            let answer = match &event {
                Event::Message(message) if message.qos == QoS::AtLeastOnce => {
                    Some((AckType::PubAck, message.id))
                }
                Event::Message(message) if message.qos == QoS::ExactlyOnce => {
                    Some((AckType::PubRec, message.id))
                }
                Event::Ack(AckType::PubRec, id, code) if *code < 0x80 => {
                    Some((AckType::PubRel, *id))
                }
                Event::Ack(AckType::PubRel, id, _) => Some((AckType::PubComp, *id)),
                _ => None,
            };
            if let Some((kind, id)) = answer {
                // A connection that is gone shows at the next read.
                let _ = self.acknowledge(kind, id);
            }
        }
        match &event {
            Event::Message(message)
                if message.qos == QoS::ExactlyOnce && !self.taken.insert(message.id) =>
            {
                return;
            }
            Event::Ack(AckType::PubRel, id, _) => {
                self.taken.remove(id);
            }
            _ => {}
        }
        self.events.push_back(event);
    }

    /// Waits until the service ends the connection; the code of its DISCONNECT, if it sent one.
    #[track_caller]
    pub fn ended(&mut self) -> Option<u8> {
        let mut code = None;
        let deadline = Instant::now() + SOON;
        loop {
            match self.poll(deadline.saturating_duration_since(Instant::now())) {
                Some(Event::Closed) => return code,
                Some(Event::Disconnect(reason)) => code = Some(reason),
                Some(_) => {}
                None => panic!("the service did not end the connection within {SOON:?}"),
            }
        }
    }

    /// An orderly end.
    pub fn disconnect(mut self) {
        self.transmit(&Packet::Disconnect(isthmus_mqtt::Disconnect::default()))
            .expect("connected");
        self.ended();
    }

    /// Ends the TCP connection without a word, so that the will is due.
    pub fn vanish(self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}
