//! What tests say: clients that connect, subscribe and publish.

use super::client::{Client, Got, Out, Pub};
use super::{World, with_shard};
use isthmus_core::shard::Downlink;
use isthmus_mqtt::{
    AckType, Connect, Disconnect, MessageProperties, Packet, Publish, QoS, ReasonCode,
    RetainHandling, Subscribe, SubscribeFilter, SubscriptionOptions, Unsubscribe, Version, encode,
};

/// A will.
#[derive(Clone, Debug)]
pub(crate) struct Will {
    pub(crate) topic: &'static str,
    pub(crate) payload: String,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) delay: u32,
}

/// How to connect.
#[derive(Clone, Debug)]
pub(crate) struct Opts {
    pub(crate) clean: bool,
    pub(crate) expiry: Option<u32>,
    pub(crate) receive_maximum: Option<u16>,
    pub(crate) maximum_packet: Option<u32>,
    pub(crate) keep_alive: u16,
    pub(crate) will: Option<Will>,
    pub(crate) user: Option<&'static str>,
}

impl Opts {
    /// The session ends with the connection.
    pub(crate) fn clean() -> Self {
        Self {
            clean: true,
            expiry: None,
            receive_maximum: None,
            maximum_packet: None,
            keep_alive: 0,
            will: None,
            user: None,
        }
    }

    /// It outlives the connection.
    pub(crate) fn durable() -> Self {
        Self {
            clean: false,
            expiry: Some(3600),
            ..Self::clean()
        }
    }

    pub(crate) fn will(mut self, topic: &'static str, payload: &str, qos: u8, delay: u32) -> Self {
        self.will = Some(Will {
            topic,
            payload: payload.to_owned(),
            qos,
            retain: false,
            delay,
        });
        self
    }
}

/// A filter to subscribe to.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) filter: String,
    pub(crate) options: SubscriptionOptions,
}

impl Filter {
    pub(crate) fn new(filter: &str, qos: u8) -> Self {
        let options = SubscriptionOptions {
            qos: QoS::from_bits(qos).unwrap(),
            ..SubscriptionOptions::default()
        };
        Self {
            filter: filter.to_owned(),
            options,
        }
    }

    pub(crate) fn no_local(mut self) -> Self {
        self.options.no_local = true;
        self
    }

    pub(crate) fn retain_as_published(mut self) -> Self {
        self.options.retain_as_published = true;
        self
    }

    pub(crate) fn handling(mut self, handling: RetainHandling) -> Self {
        self.options.retain_handling = handling;
        self
    }
}

pub(crate) fn bytes(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(packet, version, &mut bytes).unwrap();
    bytes
}

impl World {
    pub(crate) fn client(&mut self, id: &str, version: Version) -> usize {
        self.clients.push(Client::new(id, version));
        self.clients.len() - 1
    }

    /// Writes a CONNECT on a new connection.
    pub(crate) fn start_connect(&mut self, client: usize, opts: &Opts) {
        let own = &mut self.clients[client];
        own.receive_maximum = opts.receive_maximum.map_or(65_535, usize::from);
        own.maximum_packet = opts.maximum_packet.map_or(usize::MAX, |n| n as usize);
        let (version, id) = (own.version, own.id.clone());
        let v5 = version == Version::V5;
        let will = opts.will.as_ref().map(|will| isthmus_mqtt::Will {
            topic: will.topic,
            payload: will.payload.as_bytes(),
            qos: QoS::from_bits(will.qos).unwrap(),
            retain: will.retain,
            delay: will.delay,
            properties: MessageProperties::default(),
        });
        let connect = Connect {
            version,
            bridge: false,
            clean_start: opts.clean,
            keep_alive: opts.keep_alive,
            client_id: &id,
            username: opts.user,
            password: None,
            will,
            session_expiry: opts.expiry.filter(|_| v5),
            receive_maximum: opts.receive_maximum,
            maximum_packet_size: opts.maximum_packet,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            user_properties: isthmus_mqtt::UserProperties::default(),
            authentication_method: None,
            authentication_data: None,
        };
        let connect = bytes(&Packet::Connect(connect), version);
        self.dial(client, connect);
        self.clients[client].keeps = match version {
            Version::V5 => opts.expiry.is_some_and(|seconds| seconds > 0),
            Version::V31 | Version::V311 => !opts.clean,
        };
    }

    /// Connects; yields the CONNACK's session present, or the refusal.
    pub(crate) fn connect(&mut self, client: usize, opts: &Opts) -> Result<bool, u8> {
        let before = self.clients[client].got.len();
        self.start_connect(client, opts);
        self.settle();
        let answer = self.clients[client].got[before..]
            .iter()
            .find_map(|got| match got {
                Got::ConnAck { present, reason: 0 } => Some(Ok(*present)),
                Got::ConnAck { reason, .. } => Some(Err(*reason)),
                _ => None,
            });
        answer.expect("a CONNACK")
    }

    pub(crate) fn start_subscribe(&mut self, client: usize, filters: &[Filter], id: Option<u32>) {
        let own = &mut self.clients[client];
        let subscribe = Subscribe {
            packet_id: own.packet_id(),
            subscription_id: id,
            user_properties: isthmus_mqtt::UserProperties::default(),
            filters: filters
                .iter()
                .map(|f| SubscribeFilter {
                    filter: &f.filter,
                    options: f.options,
                })
                .collect(),
        };
        let version = own.version;
        self.write(client, bytes(&Packet::Subscribe(subscribe), version));
    }

    /// Subscribes; yields the SUBACK's codes.
    pub(crate) fn subscribe_to(
        &mut self,
        client: usize,
        filters: &[Filter],
        id: Option<u32>,
    ) -> Vec<u8> {
        let before = self.clients[client].got.len();
        self.start_subscribe(client, filters, id);
        self.settle();
        let answer = self.clients[client].got[before..]
            .iter()
            .find_map(|got| match got {
                Got::SubAck(codes) => Some(codes.clone()),
                _ => None,
            });
        answer.expect("a SUBACK")
    }

    pub(crate) fn subscribe(&mut self, client: usize, filter: &str, qos: u8) {
        assert_eq!(
            self.subscribe_to(client, &[Filter::new(filter, qos)], None),
            [qos]
        );
    }

    pub(crate) fn start_unsubscribe(&mut self, client: usize, filter: &str) {
        let own = &mut self.clients[client];
        let unsubscribe = Unsubscribe {
            packet_id: own.packet_id(),
            user_properties: isthmus_mqtt::UserProperties::default(),
            filters: vec![filter],
        };
        let version = own.version;
        self.write(client, bytes(&Packet::Unsubscribe(unsubscribe), version));
    }

    /// Writes a PUBLISH; yields its packet id.
    pub(crate) fn start_publish(
        &mut self,
        client: usize,
        topic: &str,
        qos: u8,
        payload: &str,
        retain: bool,
    ) -> u16 {
        let own = &mut self.clients[client];
        let qos = QoS::from_bits(qos).unwrap();
        let id = if qos == QoS::AtMostOnce {
            0
        } else {
            own.packet_id()
        };
        let out = Out {
            id,
            topic: topic.to_owned(),
            payload: payload.to_owned(),
            qos,
            retain,
            released: false,
        };
        let bytes = own.encode(&out, false);
        if id > 0 {
            own.unacked.push(out);
        }
        self.write(client, bytes);
        id
    }

    pub(crate) fn publish(&mut self, client: usize, topic: &str, qos: u8, payload: &str) -> u16 {
        let id = self.start_publish(client, topic, qos, payload, false);
        self.settle();
        id
    }

    pub(crate) fn publish_retained(&mut self, client: usize, topic: &str, qos: u8, payload: &str) {
        self.start_publish(client, topic, qos, payload, true);
        self.settle();
    }

    /// Writes any PUBLISH, as an MQTT 5 client.
    pub(crate) fn publish_packet(&mut self, client: usize, packet: Publish<'_>) {
        let id = packet.packet_id;
        let own = &mut self.clients[client];
        if id > 0 {
            own.unacked.push(Out {
                id,
                topic: packet.topic.to_owned(),
                payload: String::from_utf8_lossy(packet.payload).into_owned(),
                qos: packet.qos,
                retain: packet.retain,
                released: false,
            });
        }
        self.write(client, bytes(&Packet::Publish(packet), Version::V5));
        self.settle();
    }

    pub(crate) fn send(&mut self, client: usize, packet: &Packet<'_>) {
        let version = self.clients[client].version;
        self.write(client, bytes(packet, version));
        self.settle();
    }

    /// Acknowledges by hand.
    pub(crate) fn ack(&mut self, client: usize, kind: AckType, id: u16) {
        let bytes = self.clients[client].acknowledge(kind, id);
        self.write(client, bytes);
        self.settle();
    }

    pub(crate) fn disconnect(&mut self, client: usize) {
        self.disconnect_with(client, ReasonCode::NORMAL_DISCONNECTION, None);
    }

    pub(crate) fn disconnect_with(
        &mut self,
        client: usize,
        reason: ReasonCode,
        session_expiry: Option<u32>,
    ) {
        self.send(
            client,
            &Packet::Disconnect(Disconnect {
                reason,
                session_expiry,
                ..Disconnect::default()
            }),
        );
    }

    /// The network takes the connection away.
    pub(crate) fn drop_connection(&mut self, client: usize) {
        if let Some(id) = self.clients[client].conn {
            self.cut(id);
        }
        self.settle();
    }

    /// Hands a record of `mq2mqtt` to a shard; yields its offset.
    pub(crate) fn downlink(
        &mut self,
        topic: &str,
        qos: u8,
        only_online: bool,
        payload: &str,
    ) -> i64 {
        self.next_downlink += 1;
        let record = Downlink {
            partition: 0,
            offset: self.next_downlink,
            topic: topic.to_owned(),
            qos: QoS::from_bits(qos).unwrap(),
            only_online,
            payload: payload.as_bytes().to_vec(),
        };
        with_shard!(self, 0, |shard, view, fx| shard.downlink(view, &record, fx));
        self.settle();
        self.next_downlink
    }

    /// The messages that a client got since the last call.
    pub(crate) fn published(&mut self, client: usize) -> Vec<Pub> {
        let got = self.got(client);
        got.into_iter()
            .filter_map(|got| {
                if let Got::Publish(p) = got {
                    Some(p)
                } else {
                    None
                }
            })
            .collect()
    }

    pub(crate) fn payloads(&mut self, client: usize) -> Vec<String> {
        self.published(client)
            .into_iter()
            .map(|p| p.payload)
            .collect()
    }
}
