//! Transports: TCP, and WebSocket as in chapter 6, both made by hand.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use isthmus_tests::{SOON, service, unique};

use crate::bytes::{self, Connect, PINGREQ};
use crate::wire::Wire;
use crate::{EVERY, NUMBERED, V5};

/// A WebSocket connection: RFC 6455 as far as MQTT needs it.
struct Socket(TcpStream);

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FIN: u8 = 0x80;

impl Socket {
    /// Opens one; the subprotocol that was selected.
    fn open(offered: &str) -> (Self, String) {
        let port = service::shared().spec().ws;
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let request = format!(
            "GET /mqtt HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {offered}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let selected = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is = name.eq_ignore_ascii_case("Sec-WebSocket-Protocol");
            is.then(|| value.trim().to_owned())
        });
        (Self(stream), selected.expect("a subprotocol"))
    }

    /// Sends a frame; of a client they are masked.
    fn send(&mut self, head: u8, payload: &[u8]) {
        let mask = [0x12, 0x34, 0x56, 0x78];
        let mut frame = vec![head];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        self.0.write_all(&frame).unwrap();
    }

    /// The next frame; `None` when the connection has ended.
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).ok()?;
        assert_eq!(head[1] & 0x80, 0, "a masked frame of a server");
        let mut length = u64::from(head[1]);
        if length == 126 {
            let mut bytes = [0; 2];
            self.0.read_exact(&mut bytes).unwrap();
            length = u64::from(u16::from_be_bytes(bytes));
        } else if length == 127 {
            let mut bytes = [0; 8];
            self.0.read_exact(&mut bytes).unwrap();
            length = u64::from_be_bytes(bytes);
        }
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut payload).unwrap();
        Some((head[0], payload))
    }

    /// The next bytes of MQTT, so many; all of them in binary messages.
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut found = Vec::new();
        while found.len() < count {
            let (head, payload) = self.frame().expect("open");
            match head & 0x0F {
                BINARY | CONTINUATION => found.extend(payload),
                PONG => {}
                other => panic!("a frame of type {other}"),
            }
        }
        assert_eq!(found.len(), count);
        found
    }

    /// The connection ends, without another byte of MQTT.
    fn ended(&mut self) {
        while let Some((head, payload)) = self.frame() {
            assert_eq!(head & 0x0F, CLOSE, "{payload:x?}");
        }
    }
}

/// Conformance 3.1.1: 6.0.0-4
/// Conformance 5: 6.0.0-4
#[test]
fn the_subprotocol_is_mqtt() {
    for offered in ["mqtt", "mqtt, mqttv3.1", "mqttv3.1, mqtt", "chat,mqtt"] {
        assert_eq!(Socket::open(offered).1, "mqtt", "{offered}");
    }
}

/// Conformance 3.1.1: 6.0.0-1, 6.0.0-2
/// Conformance 5: 6.0.0-1, 6.0.0-2
/// Conformance 3.1: flows
#[test]
fn packets_are_cut_into_frames_in_any_way() {
    for version in EVERY {
        let topic = unique("t");
        let connect = Connect::new(version, &unique("c")).bytes();
        let subscribe = bytes::subscribe(version, 1, &[(&topic, 0)]);
        let publish = bytes::publish(version, &topic, "framed", 0, 0);
        let sent = [&connect[..], &subscribe, &publish, &PINGREQ].concat();
        let mut tcp = Wire::open(version);
        tcp.send(&sent);
        let answers: Vec<u8> = (0..4)
            .flat_map(|_| {
                tcp.next()
                    .map(|packet| bytes::packet(packet.first, packet.body))
                    .unwrap()
            })
            .collect();
        // All at once, byte by byte, as one fragmented message with a ping in it, with empty ones.
        for size in [sent.len(), 1, 7] {
            let (mut socket, _) = Socket::open("mqtt");
            for chunk in sent.chunks(size) {
                socket.send(FIN | BINARY, chunk);
            }
            assert_eq!(socket.bytes(answers.len()), answers, "in pieces of {size}");
        }
        let (mut socket, _) = Socket::open("mqtt");
        socket.send(FIN | BINARY, &[]);
        let (first, rest) = sent.split_at(5);
        socket.send(BINARY, first);
        socket.send(FIN | PING, b"");
        for byte in rest {
            socket.send(CONTINUATION, &[*byte]);
        }
        socket.send(FIN | CONTINUATION, &[]);
        assert_eq!(socket.bytes(answers.len()), answers, "in fragments");
    }
}

/// Conformance 3.1.1: 6.0.0-1
/// Conformance 5: 6.0.0-1
#[test]
fn a_text_message_closes_the_connection() {
    for version in NUMBERED {
        let topic = unique("t");
        let mut watcher = Wire::client(version);
        watcher.subscribe(&topic, 0);
        let connect = Connect::new(version, &unique("c")).bytes();
        // As the first message, in place of CONNECT, and in the middle of it all.
        let (mut socket, _) = Socket::open("mqtt");
        socket.send(FIN | TEXT, &connect);
        socket.ended();
        let (mut socket, _) = Socket::open("mqtt");
        socket.send(FIN | BINARY, &[&connect[..], &PINGREQ].concat());
        let (_, welcome) = socket.frame().unwrap();
        assert_eq!(welcome[0], 0x20);
        if !welcome.ends_with(&[0xD0, 0]) {
            socket.bytes(2);
        }
        socket.send(FIN | TEXT, &bytes::publish(version, &topic, "never", 0, 0));
        // MQTT 5 may say DISCONNECT before; nothing else comes.
        while let Some((head, payload)) = socket.frame() {
            let says_why = version == V5 && head & 0x0F == BINARY && payload[0] == 0xE0;
            assert!(says_why || head & 0x0F == CLOSE, "{payload:x?}");
        }
        Wire::client(version).publish(&topic, "end", 0);
        assert_eq!(watcher.message().text(), "end");
    }
}

/// Conformance 3.1.1: 7.1.1-1
/// Conformance 5: 4.2-1
#[test]
fn each_transport_keeps_every_byte_in_its_place() {
    for version in NUMBERED {
        let topic = unique("t");
        // A million bytes of which none is like the next.
        let payload: String = (0..150_000).map(|n| format!("{n:06x}|")).collect();
        let publish = bytes::publish(version, &topic, &payload, 0, 0);
        let mut subscriber = Wire::client(version);
        subscriber.subscribe(&topic, 0);
        let (mut socket, _) = Socket::open("mqtt");
        let connect = Connect::new(version, &unique("c")).bytes();
        let subscribe = bytes::subscribe(version, 1, &[(&topic, 0)]);
        socket.send(
            FIN | BINARY,
            &[connect, subscribe, PINGREQ.to_vec()].concat(),
        );
        let mut begun = Vec::new();
        while !begun.ends_with(&[0xD0, 0]) {
            begun.extend(socket.frame().unwrap().1);
        }
        // By WebSocket to both, then by TCP to both.
        for chunk in publish.chunks(100_000) {
            socket.send(FIN | BINARY, chunk);
        }
        assert!(socket.bytes(publish.len()) == publish);
        assert!(subscriber.message().text() == payload);
        Wire::client(version).send(&publish);
        assert!(socket.bytes(publish.len()) == publish);
        assert!(subscriber.message().text() == payload);
    }
}

/// Conformance 3.1.1: 7.0.0-1
#[test]
fn the_only_connections_that_a_broker_opens_go_to_kafka() {
    let service = service::shared();
    let _device = Wire::client(V5);
    let broker = service.broker();
    let kafka: u16 = service
        .bootstrap()
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let ours = [
        service.spec().mqtt,
        service.spec().ws,
        service.spec().monitoring,
    ];
    let inodes: Vec<String> = std::fs::read_dir(format!("/proc/{broker}/fd"))
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter_map(|link| {
            Some(
                link.to_str()?
                    .strip_prefix("socket:[")?
                    .trim_end_matches(']')
                    .to_owned(),
            )
        })
        .collect();
    let (mut accepted, mut to_kafka) = (0, 0);
    for table in ["tcp", "tcp6"] {
        let text = std::fs::read_to_string(format!("/proc/{broker}/net/{table}")).unwrap();
        for line in text.lines().skip(1) {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let port = |address: &str| {
                u16::from_str_radix(address.rsplit(':').next().unwrap(), 16).unwrap()
            };
            // 01 is ESTABLISHED.
            if columns[3] != "01" || !inodes.iter().any(|inode| inode == columns[9]) {
                continue;
            }
            let (local, remote) = (port(columns[1]), port(columns[2]));
            if ours.contains(&local) {
                accepted += 1;
            } else {
                assert_eq!(remote, kafka, "from {local}: not to Kafka");
                to_kafka += 1;
            }
        }
    }
    assert!(accepted > 0 && to_kafka > 0, "{accepted} {to_kafka}");
}
