//! Any legal packet of a version, made from a pool of strings so that nothing is leaked.

use isthmus_mqtt::{
    Ack, Auth, ConnAck, Connect, Disconnect, MessageProperties, Packet, PacketType, Publish, QoS,
    ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeFilter, SubscriptionOptions,
    Unsubscribe, UserProperties, Version, Will,
};
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use crate::pool::Pool;

/// Every packet type, those with much in them more often; AUTH stands last, so that the versions
/// before 5 take all but it.
const KINDS: [PacketType; 22] = [
    PacketType::Connect,
    PacketType::Connect,
    PacketType::Connect,
    PacketType::Connect,
    PacketType::ConnAck,
    PacketType::ConnAck,
    PacketType::Publish,
    PacketType::Publish,
    PacketType::Publish,
    PacketType::Publish,
    PacketType::PubAck,
    PacketType::PubRec,
    PacketType::PubRel,
    PacketType::PubComp,
    PacketType::Subscribe,
    PacketType::SubAck,
    PacketType::Unsubscribe,
    PacketType::UnsubAck,
    PacketType::PingReq,
    PacketType::PingResp,
    PacketType::Disconnect,
    PacketType::Auth,
];

/// Makes packets.
#[derive(Debug)]
pub struct Maker<'p, 'r> {
    /// Where strings come from.
    pub pool: &'p Pool,
    /// What is chosen.
    pub random: &'r mut StdRng,
    /// For which version.
    pub version: Version,
}

impl<'p> Maker<'p, '_> {
    /// A packet of any type that the version has.
    pub fn any(&mut self) -> Packet<'p> {
        let types = KINDS.len() - usize::from(!self.v5());
        let kind = KINDS[self.random.random_range(0..types)];
        self.packet(kind)
    }

    /// A packet of this type.
    pub fn packet(&mut self, kind: PacketType) -> Packet<'p> {
        match kind {
            PacketType::Connect => Packet::Connect(self.connect()),
            PacketType::ConnAck => Packet::ConnAck(self.connack()),
            PacketType::Publish => Packet::Publish(self.publish()),
            PacketType::PubAck => Packet::PubAck(self.ack(kind)),
            PacketType::PubRec => Packet::PubRec(self.ack(kind)),
            PacketType::PubRel => Packet::PubRel(self.ack(kind)),
            PacketType::PubComp => Packet::PubComp(self.ack(kind)),
            PacketType::Subscribe => Packet::Subscribe(self.subscribe()),
            PacketType::SubAck => Packet::SubAck(self.suback(kind)),
            PacketType::Unsubscribe => Packet::Unsubscribe(self.unsubscribe()),
            PacketType::UnsubAck => Packet::UnsubAck(self.suback(kind)),
            PacketType::PingReq => Packet::PingReq,
            PacketType::PingResp => Packet::PingResp,
            PacketType::Disconnect => Packet::Disconnect(self.disconnect()),
            PacketType::Auth => Packet::Auth(self.auth()),
        }
    }

    fn v5(&self) -> bool {
        self.version == Version::V5
    }

    fn flag(&mut self) -> bool {
        self.random.random()
    }

    fn some<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.random.random_bool(0.4).then(|| make(self))
    }

    /// As [`Self::some`], in MQTT 5 only.
    fn some5<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.v5() { self.some(make) } else { None }
    }

    fn text(&mut self) -> &'p str {
        self.pool.text(self.random)
    }

    fn data(&mut self) -> &'p [u8] {
        self.pool.data(self.random)
    }

    fn user(&mut self) -> UserProperties<'p> {
        if self.v5() {
            self.pool.user(self.random)
        } else {
            UserProperties::default()
        }
    }

    /// Often at the edges of its range.
    fn number(&mut self, least: u32, most: u32) -> u32 {
        match self.random.random_range(0..4) {
            0 => least,
            1 => most,
            _ => self.random.random_range(least..=most),
        }
    }

    fn short(&mut self, least: u16) -> u16 {
        u16::try_from(self.number(u32::from(least), 65_535)).unwrap()
    }

    fn qos(&mut self) -> QoS {
        QoS::from_bits(self.random.random_range(0..3)).unwrap()
    }

    fn code(&mut self, kind: PacketType) -> ReasonCode {
        if !self.v5() {
            return ReasonCode::SUCCESS;
        }
        loop {
            let code = ReasonCode(self.random.random());
            if code.is_legal_in(kind) {
                return code;
            }
        }
    }

    fn message(&mut self) -> MessageProperties<'p> {
        MessageProperties {
            payload_format: self.some5(|maker| u8::from(maker.flag())),
            expiry: self.some5(|maker| maker.number(0, u32::MAX)),
            content_type: self.some5(Self::text),
            response_topic: self.some5(|maker| maker.pool.topic(maker.random)),
            correlation_data: self.some5(Self::data),
            user_properties: self.user(),
        }
    }

    fn authentication(&mut self) -> (Option<&'p str>, Option<&'p [u8]>) {
        let method = self.some5(Self::text);
        let data = self.some5(Self::data);
        (method, data.filter(|_| method.is_some()))
    }

    fn will(&mut self) -> Will<'p> {
        Will {
            topic: self.pool.topic(self.random),
            payload: self.data(),
            qos: self.qos(),
            retain: self.flag(),
            delay: self.some5(|maker| maker.number(0, u32::MAX)).unwrap_or(0),
            properties: self.message(),
        }
    }

    fn connect(&mut self) -> Connect<'p> {
        let (method, data) = self.authentication();
        let username = self.some(Self::text);
        let password = self.some(Self::data);
        Connect {
            version: self.version,
            bridge: !self.v5() && self.random.random_bool(0.02),
            clean_start: self.flag(),
            keep_alive: self.short(0),
            client_id: self.text(),
            username,
            password: password.filter(|_| self.v5() || username.is_some()),
            will: self.some(Self::will),
            session_expiry: self.some5(|maker| maker.number(0, u32::MAX)),
            receive_maximum: self.some5(|maker| maker.short(1)),
            maximum_packet_size: self.some5(|maker| maker.number(1, u32::MAX)),
            topic_alias_maximum: self.some5(|maker| maker.short(0)).unwrap_or(0),
            request_response_information: self.some5(Self::flag).unwrap_or(false),
            request_problem_information: self.some5(Self::flag).unwrap_or(true),
            user_properties: self.user(),
            authentication_method: method,
            authentication_data: data,
        }
    }

    fn connack(&mut self) -> ConnAck<'p> {
        let reason = match self.version {
            Version::V5 => self.code(PacketType::ConnAck),
            _ => ReasonCode::from_v3_connack(self.random.random_range(0..6)).unwrap(),
        };
        let may_be_present = reason == ReasonCode::SUCCESS && self.version != Version::V31;
        let (method, data) = self.authentication();
        ConnAck {
            session_present: may_be_present && self.flag(),
            reason,
            session_expiry: self.some5(|maker| maker.number(0, u32::MAX)),
            receive_maximum: self.some5(|maker| maker.short(1)),
            maximum_qos: self
                .some5(|maker| QoS::from_bits(maker.random.random_range(0..2)).unwrap()),
            retain_available: self.some5(Self::flag),
            maximum_packet_size: self.some5(|maker| maker.number(1, u32::MAX)),
            assigned_client_id: self.some5(Self::text),
            topic_alias_maximum: self.some5(|maker| maker.short(0)),
            reason_string: self.some5(Self::text),
            user_properties: self.user(),
            wildcard_available: self.some5(Self::flag),
            subscription_ids_available: self.some5(Self::flag),
            shared_available: self.some5(Self::flag),
            server_keep_alive: self.some5(|maker| maker.short(0)),
            response_information: self.some5(Self::text),
            server_reference: self.some5(Self::text),
            authentication_method: method,
            authentication_data: data,
        }
    }

    /// A PUBLISH.
    pub fn publish(&mut self) -> Publish<'p> {
        let qos = self.qos();
        let acknowledged = qos != QoS::AtMostOnce;
        let topic_alias = self.some5(|maker| maker.short(1));
        let ids = if self.v5() {
            self.random.random_range(0..3)
        } else {
            0
        };
        Publish {
            dup: acknowledged && self.flag(),
            qos,
            retain: self.flag(),
            topic: if topic_alias.is_some() && self.flag() {
                ""
            } else {
                self.pool.topic(self.random)
            },
            packet_id: if acknowledged { self.short(1) } else { 0 },
            topic_alias,
            subscription_ids: (0..ids).map(|_| self.number(1, 268_435_455)).collect(),
            properties: self.message(),
            payload: self.pool.payload(self.random),
        }
    }

    fn ack(&mut self, kind: PacketType) -> Ack<'p> {
        Ack {
            packet_id: self.short(1),
            reason: self.code(kind),
            reason_string: self.some5(Self::text),
            user_properties: self.user(),
        }
    }

    fn options(&mut self) -> SubscriptionOptions {
        let mut options = SubscriptionOptions {
            qos: self.qos(),
            ..SubscriptionOptions::default()
        };
        if self.v5() {
            options.no_local = self.flag();
            options.retain_as_published = self.flag();
            options.retain_handling = *[
                RetainHandling::Send,
                RetainHandling::SendIfNew,
                RetainHandling::DoNotSend,
            ]
            .choose(self.random)
            .unwrap();
        }
        options
    }

    fn subscribe(&mut self) -> Subscribe<'p> {
        let filters = self.random.random_range(1..4);
        Subscribe {
            packet_id: self.short(1),
            subscription_id: self.some5(|maker| maker.number(1, 268_435_455)),
            user_properties: self.user(),
            filters: (0..filters)
                .map(|_| SubscribeFilter {
                    filter: self.pool.filter(self.random),
                    options: self.options(),
                })
                .collect(),
        }
    }

    fn suback(&mut self, kind: PacketType) -> SubAck<'p> {
        let reasons = match (self.version, kind) {
            (Version::V31 | Version::V311, PacketType::UnsubAck) => 0,
            _ => self.random.random_range(1..4),
        };
        let codes = [0, 1, 2, 0x80].map(ReasonCode);
        SubAck {
            packet_id: self.short(1),
            reason_string: self.some5(Self::text),
            user_properties: self.user(),
            reasons: (0..reasons)
                .map(|_| match self.version {
                    Version::V5 => self.code(kind),
                    _ => *codes.choose(self.random).unwrap(),
                })
                .collect(),
        }
    }

    fn unsubscribe(&mut self) -> Unsubscribe<'p> {
        let filters = self.random.random_range(1..4);
        Unsubscribe {
            packet_id: self.short(1),
            user_properties: self.user(),
            filters: (0..filters)
                .map(|_| self.pool.filter(self.random))
                .collect(),
        }
    }

    fn disconnect(&mut self) -> Disconnect<'p> {
        Disconnect {
            reason: self.code(PacketType::Disconnect),
            session_expiry: self.some5(|maker| maker.number(0, u32::MAX)),
            reason_string: self.some5(Self::text),
            server_reference: self.some5(Self::text),
            user_properties: self.user(),
        }
    }

    fn auth(&mut self) -> Auth<'p> {
        Auth {
            reason: self.code(PacketType::Auth),
            authentication_method: Some(self.text()),
            authentication_data: self.some5(Self::data),
            reason_string: self.some5(Self::text),
            user_properties: self.user(),
        }
    }
}
