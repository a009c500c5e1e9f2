//! What a client asks for, and the answers.

use std::io;

use isthmus_mqtt::{Ack, AckType, Packet, QoS, ReasonCode};

use super::Client;
use super::packets::{self, Event, Filter, Message, Outgoing};
use crate::SOON;

impl Client {
    /// Sends an acknowledgement.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn acknowledge(&mut self, kind: AckType, packet_id: u16) -> io::Result<()> {
        let ack = Ack {
            packet_id,
            reason: ReasonCode::SUCCESS,
            reason_string: None,
            user_properties: isthmus_mqtt::property::UserProperties::default(),
        };
        self.transmit(&match kind {
            AckType::PubAck => Packet::PubAck(ack),
            AckType::PubRec => Packet::PubRec(ack),
            AckType::PubRel => Packet::PubRel(ack),
            AckType::PubComp => Packet::PubComp(ack),
        })
    }

    fn new_id(&mut self) -> u16 {
        let id = self.next_id;
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        id
    }

    /// Subscribes and gives the codes of the SUBACK.
    #[track_caller]
    pub fn subscribe_with(
        &mut self,
        subscription_id: Option<u32>,
        filters: &[Filter<'_>],
    ) -> Vec<u8> {
        let id = self.new_id();
        self.transmit(&packets::subscribe(id, subscription_id, filters))
            .expect("connected");
        self.expect("SUBACK", |event| match event {
            Event::SubAck(acknowledged, codes) if *acknowledged == id => Some(codes.clone()),
            _ => None,
        })
    }

    /// Subscribes to one filter and expects the QoS to be granted; false when the connection ended
    /// before that.
    #[track_caller]
    pub fn try_subscribe(&mut self, filter: &str, qos: QoS) -> bool {
        let id = self.new_id();
        let filters = [Filter::new(filter, qos)];
        if self
            .transmit(&packets::subscribe(id, None, &filters))
            .is_err()
        {
            return false;
        }
        let answer = self.pick(SOON, |event| match event {
            Event::SubAck(acknowledged, codes) if *acknowledged == id => Some(codes.clone()),
            _ => None,
        });
        if let Some(codes) = &answer {
            assert_eq!(codes, &[qos as u8], "subscription to {filter}");
        }
        answer.is_some()
    }

    /// Subscribes to one filter and expects the QoS to be granted.
    #[track_caller]
    pub fn subscribe(&mut self, filter: &str, qos: QoS) {
        let codes = self.subscribe_with(None, &[Filter::new(filter, qos)]);
        assert_eq!(codes, [qos as u8], "subscription to {filter}");
    }

    /// Unsubscribes and gives the codes of the UNSUBACK (none in 3.x).
    #[track_caller]
    pub fn unsubscribe(&mut self, filter: &str) -> Vec<u8> {
        let id = self.new_id();
        self.transmit(&packets::unsubscribe(id, filter))
            .expect("connected");
        self.expect("UNSUBACK", |event| match event {
            Event::UnsubAck(acknowledged, codes) if *acknowledged == id => Some(codes.clone()),
            _ => None,
        })
    }

    /// Sends a PUBLISH and does not wait; gives the packet id (0 for QoS 0).
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send(&mut self, message: &Outgoing) -> io::Result<u16> {
        let id = if message.qos == QoS::AtMostOnce {
            0
        } else {
            self.new_id()
        };
        self.send_as(message, id, false)?;
        Ok(id)
    }

    /// Sends a PUBLISH with this packet id.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send_as(&mut self, message: &Outgoing, id: u16, dup: bool) -> io::Result<()> {
        let user = message.user_properties();
        self.transmit(&message.packet(id, dup, &user))
    }

    /// Publishes, waits for the last acknowledgement of the QoS, and gives its code.
    #[track_caller]
    pub fn publish(&mut self, message: &Outgoing) -> u8 {
        let id = self.send(message).expect("connected");
        match message.qos {
            QoS::AtMostOnce => 0,
            QoS::AtLeastOnce => self.acknowledged(AckType::PubAck, id),
            QoS::ExactlyOnce => match self.acknowledged(AckType::PubRec, id) {
                code if code < 0x80 => self.acknowledged(AckType::PubComp, id),
                code => code,
            },
        }
    }

    /// Waits for an acknowledgement and gives its code.
    #[track_caller]
    pub fn acknowledged(&mut self, kind: AckType, id: u16) -> u8 {
        self.expect(&format!("{kind:?} {id}"), |event| match event {
            Event::Ack(found, packet, code) if *found == kind && *packet == id => Some(*code),
            _ => None,
        })
    }

    /// Waits for the next message.
    #[track_caller]
    pub fn message(&mut self) -> Message {
        self.expect("a message", packets::as_message)
    }

    /// The messages up to the one with this payload, which is left out.
    #[track_caller]
    pub fn messages_before(&mut self, payload: &str) -> Vec<Message> {
        let mut found = Vec::new();
        loop {
            let message = self.message();
            if message.payload == payload.as_bytes() {
                return found;
            }
            found.push(message);
        }
    }

    /// PINGREQ, PINGRESP: what was sent before has been read.
    #[track_caller]
    pub fn ping(&mut self) {
        self.transmit(&Packet::PingReq).expect("connected");
        self.expect("PINGRESP", |event| {
            matches!(event, Event::Pong).then_some(())
        });
    }
}
