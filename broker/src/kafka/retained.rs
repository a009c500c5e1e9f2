//! Records of `<i>.retained`: what they say beside the message, there and back.

use super::Kafka;
use super::answers::{NOBODY, shard_token};
use super::headers::Header;
use isthmus_core::retained::{Standing, Word};
use isthmus_core::shard::Token;
use isthmus_core::{Message, record};
use isthmus_kafka::record::Record;

/// By whose word: the publisher.
const PUBLISHER: &str = "publisher";
/// And the life of its slot, big endian.
const LIFE: &str = "life";
const NODE: &str = "node";
const START: &str = "start";
const SEQ: &str = "seq";

type Headers = [(String, Option<Vec<u8>>)];

impl Kafka {
    /// Writes a retained message, or that there is none; `seq` tells our own record.
    pub fn retain(
        &self,
        shard: u16,
        token: Option<Token>,
        seq: u64,
        word: Option<Word>,
        message: &Message,
    ) {
        let kept = (!message.payload().is_empty()).then_some(message);
        let (start, seq) = (self.process.start.to_be_bytes(), seq.to_be_bytes());
        let own = [
            (NODE, Some(self.process.node.as_bytes())),
            (START, Some(&start[..])),
            (SEQ, Some(&seq[..])),
        ];
        let token = token.map_or(NOBODY, |token| shard_token(shard, token));
        let word = word.map(|word| (&*message.publisher, word));
        self.write_retained(token, message.topic(), kept, word, &own);
    }

    /// Writes once more what stands behind a late record.
    pub fn retain_again(&self, topic: &str, publisher: &str, stands: &Standing) {
        let word = Some((publisher, stands.word));
        self.write_retained(NOBODY, topic, stands.message.as_deref(), word, &[]);
    }

    fn write_retained(
        &self,
        token: u64,
        topic: &str,
        message: Option<&Message>,
        word: Option<(&str, Word)>,
        own: &[Header<'_>],
    ) {
        let value = message.map(|message| record::encode(&record::MessageRecord::from(message)));
        let life = word.map(|(_, word)| word.life().to_be_bytes());
        let mut headers = own.to_vec();
        if let (Some((publisher, _)), Some(life)) = (word, &life) {
            headers.push((PUBLISHER, Some(publisher.as_bytes())));
            headers.push((LIFE, Some(life)));
        }
        self.producer.produce(
            token,
            &Record {
                topic: &self.topics.retained,
                partition: None,
                key: Some(topic.as_bytes()),
                value: value.as_deref(),
                headers: &headers,
                timestamp: None,
            },
        );
    }

    /// Whether a retained record is ours, and its number.
    #[must_use]
    pub fn own_retained(&self, headers: &Headers) -> Option<u64> {
        let ours = find(headers, NODE) == Some(self.process.node.as_bytes())
            && find(headers, START) == Some(&self.process.start.to_be_bytes());
        let seq = find(headers, SEQ)?.try_into().ok()?;
        ours.then(|| u64::from_be_bytes(seq))
    }
}

/// The publisher of a retained record and its word, where it has them.
pub fn word(headers: &Headers) -> Option<(&str, Word)> {
    let publisher = std::str::from_utf8(find(headers, PUBLISHER)?).ok()?;
    let life = i64::from_be_bytes(find(headers, LIFE)?.try_into().ok()?);
    Some((publisher, Word::new(publisher, life)))
}

fn find<'a>(headers: &'a Headers, name: &str) -> Option<&'a [u8]> {
    let mut all = headers.iter();
    all.find(|(of, _)| of == name)
        .and_then(|(_, value)| value.as_deref())
}
