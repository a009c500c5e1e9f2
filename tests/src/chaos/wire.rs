//! A connection of one of many devices: MQTT packets over a socket, without a thread of its own.

use std::io;
use std::time::Duration;

use isthmus_mqtt::{Ack, AckType, Packet, ReasonCode, Version, decode, encode, property};
use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::Options;
use crate::client::{Event, Welcome};

/// Longer than a broker holds a CONNECT back.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// How eagerly a connection reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Bytes at a time.
    pub(super) bytes: usize,
    /// Rest before each time.
    pub(super) rest: Duration,
}

impl Pace {
    pub(super) const FAST: Self = Self {
        bytes: 65_536,
        rest: Duration::ZERO,
    };
}

/// An open connection.
pub(super) struct Connection {
    stream: TcpStream,
    version: Version,
    bytes: Vec<u8>,
    used: usize,
    pub(super) pace: Pace,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Refusal {
    /// CONNACK with this reason code.
    Code(u8),
    /// Nothing listens, nothing answers, or the connection was closed.
    Away,
}

impl Connection {
    /// Connects; a slow reader has a small socket buffer, so that its slowness is felt.
    pub(super) async fn open(
        address: &str,
        options: &Options,
        pace: Pace,
    ) -> Result<(Self, Welcome), Refusal> {
        let opened = timeout(HANDSHAKE, Self::handshake(address, options, pace)).await;
        opened.unwrap_or(Err(Refusal::Away))
    }

    async fn handshake(
        address: &str,
        options: &Options,
        pace: Pace,
    ) -> Result<(Self, Welcome), Refusal> {
        let stream = Self::dial(address, pace).await.map_err(|_| Refusal::Away)?;
        let mut connection = Self {
            stream,
            version: options.version,
            bytes: Vec::new(),
            used: 0,
            pace,
        };
        connection.send(&options.packet()).await;
        match connection.next().await {
            Event::Welcome(welcome) if welcome.code == 0 => Ok((connection, welcome)),
            Event::Welcome(welcome) => Err(Refusal::Code(welcome.code)),
            _ => Err(Refusal::Away),
        }
    }

    async fn dial(address: &str, pace: Pace) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if !pace.rest.is_zero() {
            socket.set_recv_buffer_size(2048)?;
        }
        let stream = socket.connect(address.parse().expect("an address")).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The next packet, or the end; may be dropped and asked again.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.take() {
                return event;
            }
            if !self.pace.rest.is_zero() {
                sleep(self.pace.rest).await;
            }
            let mut chunk = (&mut self.stream).take(self.pace.bytes as u64);
            match chunk.read_buf(&mut self.bytes).await {
                Ok(0) | Err(_) => return Event::Closed,
                Ok(_) => {}
            }
        }
    }

    fn take(&mut self) -> Option<Event> {
        let rest = &self.bytes[self.used..];
        let Some(frame) = decode::frame(rest, usize::MAX).expect("a legal packet") else {
            self.bytes.drain(..self.used);
            self.used = 0;
            return None;
        };
        let packet = decode::decode(frame, self.version).expect("a legal packet");
        let event = Event::of(&packet);
        self.used += frame.len;
        event.or_else(|| self.take())
    }

    /// Sends; a connection that is gone shows at the next read.
    pub(super) async fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        encode::encode(packet, self.version, &mut bytes).expect("the packet has an encoding");
        let _ = self.stream.write_all(&bytes).await;
    }

    pub(super) async fn acknowledge(&mut self, kind: AckType, packet_id: u16) {
        let ack = Ack {
            packet_id,
            reason: ReasonCode(0),
            reason_string: None,
            user_properties: property::UserProperties::default(),
        };
        let packet = match kind {
            AckType::PubAck => Packet::PubAck(ack),
            AckType::PubRec => Packet::PubRec(ack),
            AckType::PubRel => Packet::PubRel(ack),
            AckType::PubComp => Packet::PubComp(ack),
        };
        self.send(&packet).await;
    }

    /// An orderly end; true when the service has closed the connection after it.
    pub(super) async fn disconnect(mut self) -> bool {
        self.send(&Packet::Disconnect(isthmus_mqtt::Disconnect::default()))
            .await;
        let end = async { while self.next().await != Event::Closed {} };
        timeout(HANDSHAKE, end).await.is_ok()
    }
}

/// The pause before another attempt to connect.
pub(super) async fn pause(random: &mut StdRng) {
    sleep(Duration::from_millis(random.random_range(100..800))).await;
}
