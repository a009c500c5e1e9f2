//! An MQTT client with the session state that the standard asks of it. It checks what no server
//! may do to it: an id used twice, more in flight than its window, a packet too large.

use isthmus_core::shard::ConnId;
use isthmus_mqtt::{
    Ack, AckType, Packet, Publish, QoS, ReasonCode, Version, decode, encode, frame,
};
use std::collections::BTreeMap;

/// A PUBLISH as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pub {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) qos: u8,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    pub(crate) id: u16,
    pub(crate) subscription_ids: Vec<u32>,
    pub(crate) expiry: Option<u32>,
    pub(crate) user: Vec<(String, String)>,
}

/// A packet that a client got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    ConnAck { present: bool, reason: u8 },
    Publish(Pub),
    Ack(&'static str, u16, u8),
    SubAck(Vec<u8>),
    UnsubAck(Vec<u8>),
    Pong,
    Disconnect(u8),
    Closed,
}

/// A message of the client's own that is not done.
#[derive(Clone, Debug)]
pub(crate) struct Out {
    pub(crate) id: u16,
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) released: bool,
}

pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) version: Version,
    pub(crate) conn: Option<ConnId>,
    /// All that it got, in order, until a test takes it.
    pub(crate) got: Vec<Got>,
    /// Messages that reached its application, QoS 2 once each.
    pub(crate) app: Vec<Pub>,
    pub(crate) acked: Vec<String>,
    pub(crate) unacked: Vec<Out>,
    /// QoS 2 received and not released: id and payload.
    received: BTreeMap<u16, String>,
    /// QoS > 0 got on this connection and not yet acknowledged for good.
    open: BTreeMap<u16, String>,
    /// Whether it answers by itself.
    pub(crate) answers: bool,
    pub(crate) receive_maximum: usize,
    pub(crate) maximum_packet: usize,
    pub(crate) connected: bool,
    /// The session outlives the connection, at the client as well.
    pub(crate) keeps: bool,
    next_id: u16,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn new(id: &str, version: Version) -> Self {
        Self {
            id: id.to_owned(),
            version,
            conn: None,
            got: Vec::new(),
            app: Vec::new(),
            acked: Vec::new(),
            unacked: Vec::new(),
            received: BTreeMap::new(),
            open: BTreeMap::new(),
            answers: true,
            receive_maximum: 65_535,
            maximum_packet: usize::MAX,
            connected: false,
            keeps: false,
            next_id: 0,
            buffer: Vec::new(),
        }
    }

    pub(crate) fn packet_id(&mut self) -> u16 {
        loop {
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
            if !self.unacked.iter().any(|out| out.id == self.next_id) {
                return self.next_id;
            }
        }
    }

    /// The connection is gone.
    pub(crate) fn lost(&mut self) {
        if self.conn.take().is_some() {
            self.got.push(Got::Closed);
        }
        if std::mem::take(&mut self.connected) && !self.keeps {
            self.received.clear();
            self.unacked.clear();
        }
        self.buffer.clear();
        self.open.clear();
    }

    /// Bytes of the server; yields what the client writes in answer.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.buffer.extend_from_slice(bytes);
        let buffer = std::mem::take(&mut self.buffer);
        let mut rest = &buffer[..];
        let mut answers = Vec::new();
        while let Some(found) = frame(rest, usize::MAX).expect("a frame") {
            assert!(
                found.len <= self.maximum_packet,
                "{}: {} bytes",
                self.id,
                found.len
            );
            let packet = decode(found, self.version).expect("a packet");
            self.packet(&packet, &mut answers);
            rest = &rest[found.len..];
        }
        self.buffer = rest.to_vec();
        answers
    }

    fn packet(&mut self, packet: &Packet<'_>, answers: &mut Vec<Vec<u8>>) {
        match packet {
            Packet::ConnAck(ack) => {
                self.got.push(Got::ConnAck {
                    present: ack.session_present,
                    reason: ack.reason.0,
                });
                self.connected = !ack.reason.is_error();
                if self.connected {
                    self.begin(ack.session_present, answers);
                }
            }
            Packet::Publish(publish) => self.publish(publish, answers),
            Packet::PubAck(ack) => {
                self.got
                    .push(Got::Ack("PUBACK", ack.packet_id, ack.reason.0));
                self.finish(ack);
            }
            Packet::PubRec(ack) => self.pubrec(ack, answers),
            Packet::PubRel(ack) => {
                self.got
                    .push(Got::Ack("PUBREL", ack.packet_id, ack.reason.0));
                self.received.remove(&ack.packet_id);
                if self.answers {
                    self.open.remove(&ack.packet_id);
                    answers.push(self.ack(AckType::PubComp, ack.packet_id));
                }
            }
            Packet::PubComp(ack) => {
                self.got
                    .push(Got::Ack("PUBCOMP", ack.packet_id, ack.reason.0));
                self.unacked
                    .retain(|out| !(out.id == ack.packet_id && out.released));
            }
            Packet::SubAck(ack) => self
                .got
                .push(Got::SubAck(ack.reasons.iter().map(|r| r.0).collect())),
            Packet::UnsubAck(ack) => self
                .got
                .push(Got::UnsubAck(ack.reasons.iter().map(|r| r.0).collect())),
            Packet::PingResp => self.got.push(Got::Pong),
            Packet::Disconnect(d) => self.got.push(Got::Disconnect(d.reason.0)),
            other => panic!("{}: a server sent {other:?}", self.id),
        }
    }

    /// CONNACK: what is not done is sent again in order, or is forgotten with the session.
    fn begin(&mut self, present: bool, answers: &mut Vec<Vec<u8>>) {
        if !present {
            self.received.clear();
            self.unacked.clear();
        }
        for out in self.unacked.clone() {
            let bytes = if out.released {
                self.ack(AckType::PubRel, out.id)
            } else {
                self.encode(&out, true)
            };
            answers.push(bytes);
        }
    }

    fn publish(&mut self, publish: &Publish<'_>, answers: &mut Vec<Vec<u8>>) {
        let got = Pub {
            topic: publish.topic.to_owned(),
            payload: String::from_utf8_lossy(publish.payload).into_owned(),
            qos: publish.qos as u8,
            dup: publish.dup,
            retain: publish.retain,
            id: publish.packet_id,
            subscription_ids: publish.subscription_ids.clone(),
            expiry: publish.properties.expiry,
            user: publish
                .properties
                .user_properties
                .iter()
                .map(|(k, v)| (k.into(), v.into()))
                .collect(),
        };
        assert!(
            !got.topic.contains(['+', '#']),
            "a Topic Name with a wildcard: {}",
            got.topic
        );
        self.got.push(Got::Publish(got.clone()));
        if got.qos > 0 {
            let same = self.open.insert(got.id, got.payload.clone());
            assert_eq!(same, None, "{}: packet id {} is in use", self.id, got.id);
            assert!(
                self.open.len() <= self.receive_maximum,
                "{}: Receive Maximum",
                self.id
            );
        }
        if got.qos == 2 {
            let known = self.received.insert(got.id, got.payload.clone());
            if let Some(known) = &known {
                assert_eq!(
                    *known, got.payload,
                    "{}: id {} of another message",
                    self.id, got.id
                );
            }
            if self.answers {
                answers.push(self.ack(AckType::PubRec, got.id));
            }
            if known.is_some() {
                return;
            }
        } else if got.qos == 1 && self.answers {
            self.open.remove(&got.id);
            answers.push(self.ack(AckType::PubAck, got.id));
        }
        self.app.push(got);
    }

    fn pubrec(&mut self, ack: &Ack<'_>, answers: &mut Vec<Vec<u8>>) {
        self.got
            .push(Got::Ack("PUBREC", ack.packet_id, ack.reason.0));
        if ack.reason.is_error() {
            return self.unacked.retain(|out| out.id != ack.packet_id);
        }
        let mut acked = None;
        for out in self
            .unacked
            .iter_mut()
            .filter(|out| out.id == ack.packet_id)
        {
            out.released = true;
            acked = Some(out.payload.clone());
        }
        self.acked.extend(acked);
        answers.push(self.ack(AckType::PubRel, ack.packet_id));
    }

    fn finish(&mut self, ack: &Ack<'_>) {
        let done = self.unacked.iter().position(|out| out.id == ack.packet_id);
        let done = self.unacked.remove(done.expect("PUBACK of something sent"));
        if !ack.reason.is_error() {
            self.acked.push(done.payload);
        }
    }

    pub(crate) fn ack(&self, kind: AckType, id: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode::ack(&mut bytes, self.version, kind, id, ReasonCode::SUCCESS);
        bytes
    }

    /// Answers by hand: the id is free again.
    pub(crate) fn acknowledge(&mut self, kind: AckType, id: u16) -> Vec<u8> {
        if kind != AckType::PubRec {
            self.open.remove(&id);
        }
        self.ack(kind, id)
    }

    pub(crate) fn encode(&self, out: &Out, dup: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let head = encode::PublishHead {
            topic: &out.topic,
            forwarded: &[],
            payload: out.payload.as_bytes(),
        };
        encode::publish(
            &mut bytes,
            self.version,
            dup && out.qos > QoS::AtMostOnce,
            out.qos,
            out.retain,
            out.id,
            &head,
            None,
            &[],
        )
        .unwrap();
        bytes
    }

    /// Payloads that reached the application, in order.
    pub(crate) fn payloads(&self) -> Vec<&str> {
        self.app.iter().map(|got| &*got.payload).collect()
    }
}
