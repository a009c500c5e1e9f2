//! What can happen to a shard, and the packets that clients may make up.

use isthmus_mqtt::{
    Ack, Disconnect, MessageProperties, Packet, Publish, QoS, ReasonCode, RetainHandling,
    Subscribe, SubscribeFilter, SubscriptionOptions, Unsubscribe, UserProperties, Version,
};
use proptest::prelude::*;

const TOPICS: [&str; 10] = [
    "",
    "t",
    "p/x",
    "orderMsg2mq-o/y",
    "/",
    "$SYS/x",
    "p//",
    "é/ü",
    "a/b/c/d/e",
    "p",
];
pub(crate) const FILTERS: [&str; 12] = [
    "#",
    "+",
    "t",
    "p/#",
    "$share/g/t",
    "$share/g/#",
    "$share/g",
    "$share//t",
    "a/#/b",
    "",
    "$SYS/#",
    "+/+",
];

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Connect {
        conn: u64,
        client: u8,
        version: u8,
        clean: bool,
        expiry: Option<u32>,
        will: bool,
        window: Option<u16>,
        most: Option<u32>,
    },
    Packet {
        conn: u64,
        kind: u8,
        id: u16,
        text: u8,
        qos: u8,
        flags: u8,
        number: u32,
        size: u16,
    },
    Lost(u64),
    Written(u64),
    /// The oldest effect that waits for an answer is answered.
    Answer {
        nth: usize,
        refused: bool,
    },
    Confirmed {
        token: u64,
        refused: bool,
    },
    Committed(u64),
    Fenced(u64),
    LiveAnswered(u64),
    Inbox {
        slot: u16,
        offset: i64,
        nth: usize,
    },
    Bytes {
        slot: u16,
        offset: i64,
        bytes: Vec<u8>,
    },
    Bodies {
        slot: u16,
        offsets: Vec<i64>,
        nth: usize,
    },
    Suspend(u16),
    Resume(u16),
    Drop(u16),
    Close(u16),
    Restore {
        slot: u16,
        position: i64,
        nth: usize,
    },
    Downlink {
        filter: u8,
        qos: u8,
        online: bool,
    },
    Time(u64),
    Directory {
        deleted: bool,
    },
    Kick(u8),
    EndAll,
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    let conn = 0u64..6;
    let slot = 0u16..4;
    let connect = (
        (conn.clone(), 0u8..4, 3u8..6, any::<bool>()),
        (
            prop::option::of(prop_oneof![Just(0), Just(1), Just(3600), Just(u32::MAX)]),
            any::<bool>(),
        ),
        (
            prop::option::of(1u16..4),
            prop::option::of(prop_oneof![Just(1u32), Just(20), Just(u32::MAX)]),
        ),
    );
    let packet = (
        (
            conn.clone(),
            0u8..16,
            prop_oneof![0u16..6, 32_760u16..32_775, Just(u16::MAX)],
            any::<u8>(),
        ),
        (
            0u8..3,
            any::<u8>(),
            any::<u32>(),
            prop_oneof![9 => 0u16..20, 1 => Just(3000)],
        ),
    );
    prop_oneof![
        3 => connect.prop_map(|((conn, client, version, clean), (expiry, will), (window, most))|
            Event::Connect { conn, client, version, clean, expiry, will, window, most }),
        20 => packet.prop_map(|((conn, kind, id, text), (qos, flags, number, size))|
            Event::Packet { conn, kind, id, text, qos, flags, number, size }),
        1 => conn.clone().prop_map(Event::Lost),
        1 => conn.prop_map(Event::Written),
        12 => (0usize..4, prop::bool::weighted(0.1)).prop_map(|(nth, refused)| Event::Answer { nth, refused }),
        1 => (0u64..30, any::<bool>()).prop_map(|(token, refused)| Event::Confirmed { token, refused }),
        1 => (0u64..10).prop_map(Event::Committed),
        1 => (0u64..10).prop_map(Event::Fenced),
        1 => (0u64..30).prop_map(Event::LiveAnswered),
        4 => (slot.clone(), 0i64..40, any::<usize>()).prop_map(|(slot, offset, nth)| Event::Inbox { slot, offset, nth }),
        1 => (slot.clone(), any::<i64>(), prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(slot, offset, bytes)| Event::Bytes { slot, offset, bytes }),
        1 => (slot.clone(), prop::collection::vec(-1i64..40, 0..4), any::<usize>())
            .prop_map(|(slot, offsets, nth)| Event::Bodies { slot, offsets, nth }),
        1 => slot.clone().prop_map(Event::Suspend),
        1 => slot.clone().prop_map(Event::Resume),
        1 => slot.clone().prop_map(Event::Drop),
        1 => slot.clone().prop_map(Event::Close),
        1 => (slot, -1i64..40, any::<usize>()).prop_map(|(slot, position, nth)| Event::Restore { slot, position, nth }),
        1 => (any::<u8>(), 0u8..3, any::<bool>()).prop_map(|(filter, qos, online)| Event::Downlink { filter, qos, online }),
        2 => prop_oneof![Just(0u64), Just(999), Just(2000), Just(20_000), Just(8_000_000)].prop_map(Event::Time),
        1 => any::<bool>().prop_map(|deleted| Event::Directory { deleted }),
        1 => (0u8..4).prop_map(Event::Kick),
        1 => Just(Event::EndAll),
    ]
}

pub(crate) fn version(number: u8) -> Version {
    [Version::V31, Version::V311, Version::V5][usize::from(number - 3)]
}

pub(crate) fn with_packet(event: &Event, with: impl FnOnce(&Packet<'_>)) {
    let Event::Packet {
        kind,
        id,
        text,
        qos,
        flags,
        number,
        size,
        ..
    } = event
    else {
        return;
    };
    let (payload, user_properties) = (vec![b'x'; usize::from(*size)], UserProperties::default());
    let (flag, qos) = (
        |bit: u8| flags >> bit & 1 == 1,
        QoS::from_bits(*qos).unwrap(),
    );
    let filter = |n: usize| FILTERS[(usize::from(*text) + n) % FILTERS.len()];
    let reason = ReasonCode(if flag(0) {
        0x80 | (*number % 0x23) as u8
    } else {
        0
    });
    let ack = Ack {
        packet_id: *id,
        reason,
        reason_string: None,
        user_properties,
    };
    let packet = match kind {
        0 => Packet::PubAck(ack),
        1 => Packet::PubRec(ack),
        2 => Packet::PubRel(ack),
        3 => Packet::PubComp(ack),
        4 | 5 => {
            let retain_handling = [
                RetainHandling::Send,
                RetainHandling::SendIfNew,
                RetainHandling::DoNotSend,
            ][*number as usize % 3];
            let options = SubscriptionOptions {
                qos,
                no_local: flag(1),
                retain_as_published: flag(2),
                retain_handling,
            };
            let filters = (0..1 + usize::from(flags >> 6)).map(|n| SubscribeFilter {
                filter: filter(n),
                options,
            });
            let subscription_id = flag(3).then_some(number % 300_000_000 + 1);
            Packet::Subscribe(Subscribe {
                packet_id: *id,
                subscription_id,
                user_properties,
                filters: filters.collect(),
            })
        }
        6 => Packet::Unsubscribe(Unsubscribe {
            packet_id: *id,
            user_properties,
            filters: vec![filter(0), filter(1)],
        }),
        7 => Packet::PingReq,
        8 => {
            let session_expiry = flag(1).then_some(*number);
            Packet::Disconnect(Disconnect {
                reason,
                session_expiry,
                ..Disconnect::default()
            })
        }
        9 => Packet::PingResp,
        _ => Packet::Publish(Publish {
            dup: flag(1),
            qos,
            retain: flag(2),
            topic: TOPICS[usize::from(*text) % TOPICS.len()],
            packet_id: *id,
            topic_alias: flag(3).then_some((*number % 40) as u16),
            subscription_ids: if flag(4) && flag(5) {
                vec![*number]
            } else {
                Vec::new()
            },
            properties: MessageProperties {
                expiry: flag(6).then_some(*number),
                ..MessageProperties::default()
            },
            payload: &payload,
        }),
    };
    with(&packet);
}
