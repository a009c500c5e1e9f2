//! The strings and bytes that generated packets are made of: made once from the seed, then borrowed.

use isthmus_mqtt::{UserProperties, UserPropertiesBuf};
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

/// Characters at the edges of what UTF-8 and MQTT allow; U+0000 is not among them.
const CHARACTERS: [char; 16] = [
    'a',
    'b',
    'Z',
    '0',
    ' ',
    '/',
    '$',
    '\u{1}',
    '\u{7f}',
    'ü',
    '€',
    '\u{FEFF}',
    '\u{FFFD}',
    '\u{FFFF}',
    '\u{10000}',
    '\u{10FFFF}',
];
const LEVELS: [&str; 8] = ["a", "b", "", "sensor", "温度", " ", "$x", "\u{FEFF}"];

/// Strings and bytes.
#[derive(Debug)]
pub struct Pool {
    texts: Vec<String>,
    topics: Vec<String>,
    filters: Vec<String>,
    data: Vec<Vec<u8>>,
    payloads: Vec<Vec<u8>>,
    users: Vec<UserPropertiesBuf>,
}

impl Pool {
    /// A pool of this seed.
    #[must_use]
    pub fn new(random: &mut StdRng) -> Self {
        let mut texts: Vec<String> = (0..400).map(|_| text(random)).collect();
        texts.push("x".repeat(65_535));
        // An empty string is common on the wire.
        texts.extend((0..20).map(|_| String::new()));
        let users = (0..100).map(|_| user(random, &texts)).collect();
        Self {
            topics: (0..200).map(|_| topic(random)).collect(),
            filters: (0..300).map(|_| filter(random)).collect(),
            data: (0..200).map(|_| bytes(random, 20)).collect(),
            // The last ones are about where the Remaining Length takes another byte.
            payloads: (0..150)
                .map(|_| bytes(random, 20))
                .chain((100..140).map(|size| vec![7; size]))
                .chain((16_360..16_364).map(|size| vec![7; size]))
                .collect(),
            users,
            texts,
        }
    }

    /// Any legal string.
    pub fn text(&self, random: &mut StdRng) -> &str {
        self.texts.choose(random).unwrap()
    }

    /// A Topic Name.
    pub fn topic(&self, random: &mut StdRng) -> &str {
        self.topics.choose(random).unwrap()
    }

    /// A Topic Filter.
    pub fn filter(&self, random: &mut StdRng) -> &str {
        self.filters.choose(random).unwrap()
    }

    /// Binary Data.
    pub fn data(&self, random: &mut StdRng) -> &[u8] {
        self.data.choose(random).unwrap()
    }

    /// A payload.
    pub fn payload(&self, random: &mut StdRng) -> &[u8] {
        self.payloads.choose(random).unwrap()
    }

    /// User Properties, often none.
    pub fn user(&self, random: &mut StdRng) -> UserProperties<'_> {
        if random.random_bool(0.6) {
            return UserProperties::default();
        }
        self.users.choose(random).unwrap().as_user_properties()
    }
}

fn text(random: &mut StdRng) -> String {
    let len = random.random_range(0..12);
    (0..len)
        .map(|_| *CHARACTERS.choose(random).unwrap())
        .collect()
}

fn bytes(random: &mut StdRng, most: usize) -> Vec<u8> {
    let len = random.random_range(0..most);
    (0..len).map(|_| random.random()).collect()
}

fn topic(random: &mut StdRng) -> String {
    loop {
        let levels = random.random_range(1..5);
        let levels: Vec<&str> = (0..levels)
            .map(|_| *LEVELS.choose(random).unwrap())
            .collect();
        let topic = levels.join("/");
        if !topic.is_empty() {
            return topic;
        }
    }
}

fn filter(random: &mut StdRng) -> String {
    let mut filter = topic(random);
    if random.random_bool(0.3) {
        filter = format!("+/{filter}");
    }
    if random.random_bool(0.3) {
        filter.push_str("/#");
    }
    if random.random_bool(0.1) {
        filter = format!("$share/group/{filter}");
    }
    filter
}

fn user(random: &mut StdRng, texts: &[String]) -> UserPropertiesBuf {
    let pairs = random.random_range(1..4);
    let short: Vec<&str> = texts
        .iter()
        .map(String::as_str)
        .filter(|text| text.len() < 100)
        .collect();
    let mut one = || *short.choose(random).unwrap();
    UserPropertiesBuf::from_pairs((0..pairs).map(|_| (one(), one()))).unwrap()
}
