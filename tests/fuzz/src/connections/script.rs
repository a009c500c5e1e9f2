//! What a fuzzed connection sends: a legal sequence of packets, and what is done to it.

use isthmus_mqtt::{
    Ack, Connect, Disconnect, MessageProperties, Packet, PacketType, QoS, ReasonCode, Subscribe,
    SubscribeFilter, SubscriptionOptions, Unsubscribe, UserProperties, Version, Will, encode,
};
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};

use crate::generate::Maker;
use crate::mutate::mutate;
use crate::pool::Pool;

const TOPICS: [&str; 7] = [
    "fuzz/a",
    "fuzz/b/c",
    "fuzz",
    "up/x",
    "up/y/z",
    "orderMsg2mq-up/x",
    "$x/y",
];
const FILTERS: [&str; 9] = [
    "fuzz/#",
    "fuzz/a",
    "fuzz/+/c",
    "+/x",
    "up/+",
    "$share/g/fuzz/#",
    "$share/g/up/#",
    "$x/#",
    "fuzz/b/c",
];

/// How the bytes are cut into writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// All at once.
    Whole,
    /// One by one.
    Bytes,
    /// In pieces of up to 40 bytes.
    Pieces,
}

/// What the client does after its last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Ends its sending half, and reads to the end.
    HalfClose,
    /// Goes away without reading.
    Drop,
    /// Neither sends nor closes.
    Silent,
}

/// One connection.
#[derive(Debug)]
pub struct Script {
    /// Everything that is sent.
    pub bytes: Vec<u8>,
    /// Over WebSocket.
    pub web: bool,
    /// In which pieces.
    pub pace: Pace,
    /// How it ends.
    pub end: End,
    /// Nothing is wrong with it and nobody takes its session: all that it asks for is answered.
    pub legal: bool,
}

/// Who connects.
#[derive(Clone, Debug)]
pub struct Client {
    /// ClientId.
    pub id: String,
    /// Whether other connections use the same ClientId.
    pub shared: bool,
    /// Version.
    pub version: Version,
    /// Whether the session is kept.
    pub persistent: bool,
}

impl Client {
    /// One of its own, or one of 40 that others use as well.
    pub fn any(random: &mut StdRng, own: &str) -> Self {
        let shared = random.random_bool(0.5);
        Self {
            id: match shared {
                true => format!("fuzz-{}", random.random_range(0..40)),
                false => own.to_owned(),
            },
            shared,
            version: *[Version::V31, Version::V311, Version::V5]
                .choose(random)
                .unwrap(),
            persistent: random.random_bool(0.3),
        }
    }
}

/// A script of this client, mutated or not.
pub fn script(random: &mut StdRng, pool: &Pool, client: &Client) -> Script {
    let mut packets = sequence(random, pool, client);
    let legal = random.random_bool(0.25);
    if !legal {
        spoil(random, pool, client.version, &mut packets);
    }
    let mut bytes = packets.concat();
    let mut end = *[End::HalfClose, End::HalfClose, End::HalfClose, End::Drop]
        .choose(random)
        .unwrap();
    if !legal && random.random_bool(0.15) {
        bytes.truncate(random.random_range(0..=bytes.len()));
        end = *[End::Drop, End::Silent, End::HalfClose]
            .choose(random)
            .unwrap();
    }
    let pace = match random.random_range(0..6) {
        0 if bytes.len() < 600 => Pace::Bytes,
        0 | 1 => Pace::Pieces,
        _ => Pace::Whole,
    };
    Script {
        bytes,
        web: random.random_bool(0.2),
        pace,
        end,
        legal: legal && !client.shared,
    }
}

fn encoded(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(packet, version, &mut bytes).expect("an encoding");
    bytes
}

/// A legal sequence, CONNECT first.
fn sequence(random: &mut StdRng, pool: &Pool, client: &Client) -> Vec<Vec<u8>> {
    let version = client.version;
    let mut packets = vec![encoded(&connect(random, pool, client), version)];
    for id in 1..random.random_range(2..10) {
        let packet = match random.random_range(0..10) {
            0..=2 => subscribe(random, version, id),
            3 => Packet::Unsubscribe(Unsubscribe {
                packet_id: id,
                user_properties: UserProperties::default(),
                filters: vec![FILTERS.choose(random).unwrap()],
            }),
            4 => Packet::PingReq,
            _ => publish(random, pool, version, id),
        };
        let twice = matches!(&packet, Packet::Publish(found) if found.qos == QoS::ExactlyOnce);
        packets.push(encoded(&packet, version));
        if twice {
            packets.push(encoded(&ack(PacketType::PubRel, id), version));
        }
    }
    if random.random_bool(0.3) {
        packets.push(encoded(&Packet::Disconnect(Disconnect::default()), version));
    } else {
        packets.push(encoded(&Packet::PingReq, version));
    }
    packets
}

fn connect<'p>(random: &mut StdRng, pool: &'p Pool, client: &'p Client) -> Packet<'p> {
    let v5 = client.version == Version::V5;
    let will = random.random_bool(0.3).then(|| Will {
        topic: TOPICS.choose(random).unwrap(),
        payload: pool.data(random),
        qos: QoS::from_bits(random.random_range(0..3)).unwrap(),
        retain: random.random_bool(0.1),
        delay: 0,
        properties: MessageProperties::default(),
    });
    Packet::Connect(Connect {
        version: client.version,
        bridge: false,
        clean_start: !client.persistent,
        keep_alive: *[0, 60, 65_535].choose(random).unwrap(),
        client_id: &client.id,
        username: Some("device"),
        password: Some(b"secret"),
        will,
        session_expiry: (v5 && client.persistent).then_some(60),
        receive_maximum: (v5 && random.random()).then(|| random.random_range(1..100)),
        maximum_packet_size: (v5 && random.random_bool(0.2)).then(|| random.random_range(64..500)),
        topic_alias_maximum: 0,
        request_response_information: false,
        request_problem_information: random.random_bool(0.8) || !v5,
        user_properties: UserProperties::default(),
        authentication_method: None,
        authentication_data: None,
    })
}

fn subscribe(random: &mut StdRng, version: Version, id: u16) -> Packet<'static> {
    let filters = random.random_range(1..4);
    let one = |random: &mut StdRng| SubscribeFilter {
        filter: FILTERS.choose(random).unwrap(),
        options: SubscriptionOptions {
            qos: QoS::from_bits(random.random_range(0..3)).unwrap(),
            ..SubscriptionOptions::default()
        },
    };
    Packet::Subscribe(Subscribe {
        packet_id: id,
        subscription_id: (version == Version::V5 && random.random()).then_some(u32::from(id)),
        user_properties: UserProperties::default(),
        filters: (0..filters).map(|_| one(random)).collect(),
    })
}

fn publish<'p>(random: &mut StdRng, pool: &'p Pool, version: Version, id: u16) -> Packet<'p> {
    let mut maker = Maker {
        pool,
        random,
        version,
    };
    let mut publish = maker.publish();
    publish.topic = TOPICS.choose(random).unwrap();
    publish.topic_alias = None;
    // Only a server sends them.
    publish.subscription_ids.clear();
    publish.retain = random.random_bool(0.05);
    publish.dup = false;
    if publish.qos != QoS::AtMostOnce {
        publish.packet_id = id;
    }
    // Each is stored in Kafka; the longest strings are for the codec's own fuzzing.
    if publish
        .properties
        .content_type
        .is_some_and(|text| text.len() > 100)
    {
        publish.properties.content_type = None;
    }
    Packet::Publish(publish)
}

fn ack(kind: PacketType, packet_id: u16) -> Packet<'static> {
    let ack = Ack {
        packet_id,
        reason: ReasonCode::SUCCESS,
        reason_string: None,
        user_properties: UserProperties::default(),
    };
    match kind {
        PacketType::PubAck => Packet::PubAck(ack),
        PacketType::PubRec => Packet::PubRec(ack),
        PacketType::PubRel => Packet::PubRel(ack),
        _ => Packet::PubComp(ack),
    }
}

/// Fields changed; packets in another order, twice, missing, foreign; garbage.
fn spoil(random: &mut StdRng, pool: &Pool, version: Version, packets: &mut Vec<Vec<u8>>) {
    for _ in 0..random.random_range(1..3) {
        // Mostly past the CONNECT, which when broken ends everything at once.
        let from = usize::from(packets.len() > 1 && random.random_bool(0.8));
        let at = random.random_range(from..packets.len().max(1));
        match random.random_range(0..16) {
            0..=6 => {
                let other = packets.choose(random).unwrap().clone();
                mutate(random, &mut packets[at], &other);
            }
            7 | 8 => packets[from..].shuffle(random),
            9 => packets.shuffle(random),
            10 | 11 => {
                let copy = packets[at].clone();
                packets.insert(random.random_range(at..=packets.len()), copy);
            }
            12 if packets.len() > 1 => {
                packets.remove(at);
            }
            13 => {
                let kind = *[
                    PacketType::PubAck,
                    PacketType::PubRec,
                    PacketType::PubRel,
                    PacketType::PubComp,
                ]
                .choose(random)
                .unwrap();
                let id = random.random_range(1..6);
                packets.insert(at + 1, encoded(&ack(kind, id), version));
            }
            14 => {
                let foreign = Maker {
                    pool,
                    random,
                    version,
                }
                .any();
                packets.insert(at + 1, encoded(&foreign, version));
            }
            _ => {
                let garbage = (0..random.random_range(1..40)).map(|_| random.random());
                packets.push(garbage.collect());
            }
        }
    }
}
