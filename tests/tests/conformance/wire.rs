//! A connection that says nothing by itself, and the packets that come over it.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use isthmus_tests::{SOON, service};

use crate::V5;
use crate::bytes::{self, Connect, PINGREQ, PUBACK, PUBCOMP, PUBREC, PUBREL};
use crate::check::check;
use crate::packet::{Packet, integer};

/// A connection.
pub(crate) struct Wire {
    stream: TcpStream,
    version: u8,
    bytes: Vec<u8>,
    /// Packets that came before the one that was waited for.
    held: VecDeque<Packet>,
    next_id: u16,
    /// CONNACK, where there was one.
    pub(crate) welcome: Option<Packet>,
}

impl Wire {
    /// A connection to the shared service on which nothing has been said.
    pub(crate) fn open(version: u8) -> Self {
        Self::to(&service::shared().address(), version)
    }

    /// A connection to another service.
    pub(crate) fn to(address: &str, version: u8) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        Self {
            stream,
            version,
            bytes: Vec::new(),
            held: VecDeque::new(),
            next_id: 1,
            welcome: None,
        }
    }

    /// Connects and is let in.
    #[track_caller]
    pub(crate) fn connect(connect: &Connect) -> Self {
        Self::open(connect.version).let_in(connect)
    }

    #[track_caller]
    pub(crate) fn let_in(mut self, connect: &Connect) -> Self {
        self.send(connect.bytes());
        let connack = self.expect(2);
        assert_eq!(connack.body[1], 0, "not let in: {connack:?}");
        self.welcome = Some(connack);
        self
    }

    /// A client with a session that ends with it, and a clientId of its own.
    #[track_caller]
    pub(crate) fn client(version: u8) -> Self {
        Self::connect(&Connect::new(version, &isthmus_tests::unique("c")))
    }

    /// What CONNACK says of the session.
    pub(crate) fn session_present(&self) -> bool {
        self.welcome.as_ref().unwrap().body[0] == 1
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn new_id(&mut self) -> u16 {
        self.next_id += 1;
        self.next_id
    }

    /// The next packet, `None` at the connection's end.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<Packet> {
        match self.held.pop_front() {
            Some(packet) => Some(packet),
            None => self.read(),
        }
    }

    #[track_caller]
    fn read(&mut self) -> Option<Packet> {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(packet) = self.take() {
                check(self.version, &packet);
                return Some(packet);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nothing came within {SOON:?}");
            let mut chunk = [0; 4096];
            let left = left.max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left)).unwrap();
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    assert!(self.bytes.is_empty(), "half a packet: {:x?}", self.bytes);
                    return None;
                }
                Ok(count) => self.bytes.extend(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    fn take(&mut self) -> Option<Packet> {
        let (length, at) = integer(self.bytes.get(1..)?)?;
        let body = self.bytes.get(1 + at..1 + at + length)?.to_vec();
        assert_eq!(
            bytes::integer(length).len(),
            at,
            "Remaining Length is longer than it need be"
        );
        let size = 1 + at + length;
        let first = self.bytes[0];
        self.bytes.drain(..size);
        Some(Packet {
            version: self.version,
            first,
            body,
            size,
        })
    }

    /// The next packet, which is of this type.
    #[track_caller]
    pub(crate) fn expect(&mut self, kind: u8) -> Packet {
        match self.next() {
            Some(packet) if packet.kind() == kind => packet,
            other => panic!("expected packet type {kind}, got {other:?}"),
        }
    }

    /// The next packet, which is exactly this one.
    #[track_caller]
    pub(crate) fn expect_bytes(&mut self, expected: impl AsRef<[u8]>) {
        let packet = self.next();
        let found = packet.as_ref().map(|p| bytes::packet(p.first, &p.body));
        assert_eq!(found.as_deref(), Some(expected.as_ref()), "got {packet:?}");
    }

    /// What came before the answer to a PINGREQ that is sent now.
    #[track_caller]
    pub(crate) fn fence(&mut self) -> Vec<Packet> {
        self.send(PINGREQ);
        let mut before = Vec::new();
        loop {
            match self.next() {
                Some(packet) if packet.kind() == 13 => return before,
                Some(packet) => before.push(packet),
                None => panic!("closed instead of PINGRESP, after {before:?}"),
            }
        }
    }

    /// Lets go of everything that came.
    #[track_caller]
    pub(crate) fn fence_all(&mut self) {
        let _ = self.fence();
    }

    /// The connection ends now, in MQTT 5 after nothing but a DISCONNECT, whose Reason Code this is.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> Option<u8> {
        let mut code = None;
        while let Some(packet) = self.next() {
            assert!(
                packet.kind() == 14 && code.is_none(),
                "then came {packet:?}"
            );
            code = Some(packet.body.first().copied().unwrap_or(0));
        }
        code
    }

    /// The connection ends for a fault: MQTT 5 clients are told this code, others nothing.
    #[track_caller]
    pub(crate) fn ended_for(&mut self, code: u8) {
        let expected = (self.version == V5).then_some(code);
        assert_eq!(self.ended(), expected);
    }

    /// Subscribes to one filter and gets what it asked for.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, filter: &str, options: u8) {
        let id = self.new_id();
        self.send(bytes::subscribe(self.version, id, &[(filter, options)]));
        let suback = self.expect(9);
        assert_eq!(
            (suback.id(), suback.codes()),
            (id, vec![options & 3]),
            "{filter}"
        );
    }

    /// Unsubscribes from one filter.
    #[track_caller]
    pub(crate) fn unsubscribe(&mut self, filter: &str) {
        let id = self.new_id();
        self.send(bytes::unsubscribe(self.version, id, &[filter]));
        assert_eq!(self.expect(11).id(), id);
    }

    /// Publishes and waits for all that the QoS has.
    #[track_caller]
    pub(crate) fn publish(&mut self, topic: &str, payload: &str, qos: u8) {
        self.publish_this(&bytes::Publish {
            topic,
            payload,
            qos,
            ..bytes::Publish::default()
        });
    }

    /// The same for a message with more to it; the identifier is given here.
    #[track_caller]
    pub(crate) fn publish_this(&mut self, publish: &bytes::Publish<'_>) {
        let id = self.new_id();
        let mut publish = publish.clone();
        publish.id = id;
        self.send(publish.bytes(self.version));
        match publish.qos {
            0 => assert_eq!(self.fence(), []),
            1 => assert_eq!(self.expect(4).id(), id),
            _ => {
                assert_eq!(self.expect(5).id(), id);
                self.send(bytes::ack(PUBREL, id));
                assert_eq!(self.expect(7).id(), id);
            }
        }
    }

    /// The next packet, a PUBLISH that is acknowledged here to the end.
    #[track_caller]
    pub(crate) fn message(&mut self) -> Packet {
        let message = self.expect(3);
        match message.qos() {
            0 => {}
            1 => self.send(bytes::ack(PUBACK, message.id())),
            _ => {
                self.send(bytes::ack(PUBREC, message.id()));
                // Messages that were on their way already may come before PUBREL.
                loop {
                    match self.read() {
                        Some(packet) if packet.kind() == 6 => {
                            assert_eq!(packet.id(), message.id());
                            break;
                        }
                        Some(packet) => self.held.push_back(packet),
                        None => panic!("closed before PUBREL"),
                    }
                }
                self.send(bytes::ack(PUBCOMP, message.id()));
            }
        }
        message
    }

    /// The payloads up to the message with this one.
    #[track_caller]
    pub(crate) fn texts_until(&mut self, last: &str) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            match self.message().text() {
                text if text == last => return texts,
                text => texts.push(text),
            }
        }
    }

    /// Says goodbye; the server closes.
    #[track_caller]
    pub(crate) fn disconnect(mut self) {
        self.send(bytes::DISCONNECT);
        assert_eq!(self.ended(), None);
    }

    /// Closes without a word.
    pub(crate) fn vanish(self) {
        drop(self);
    }
}
