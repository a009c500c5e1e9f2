//! The verdict: what was promised against what was stored and received.

use std::collections::{BTreeMap, HashMap, HashSet};

use isthmus_mqtt::QoS;

use super::fault::Fault;
use super::ledger::{Delivery, Ledger, Promise, Sent};
use super::probe::Move;
use super::stored::{Stored, lost};
use super::stream::{Route, Stream};

/// A fault that was.
#[derive(Clone, Debug)]
pub(super) struct Harm {
    pub(super) fault: Fault,
    pub(super) begin: u64,
    pub(super) lifted: u64,
    /// When everyone had got on again; the deadline where somebody had not.
    pub(super) recovered: u64,
    /// Whose slots had to move.
    pub(super) moves: Vec<Move>,
    /// Every broker was ready when it began: no slot was on its way already.
    pub(super) settled: bool,
}

/// One line of the report.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    pub(super) stored: u64,
    pub(super) due: u64,
    pub(super) received: u64,
    pub(super) lost: u64,
    pub(super) missing: u64,
    pub(super) disorder: u64,
    pub(super) misdelivered: u64,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    pub(super) lines: BTreeMap<&'static str, Line>,
    /// Duplicates by their explanation.
    pub(super) doubled: BTreeMap<&'static str, u64>,
    /// Messages that came more often than is allowed or can be explained.
    pub(super) forbidden: u64,
    /// Broken promises by kind.
    pub(super) broken: BTreeMap<&'static str, Vec<String>>,
}

/// How late a broker that is killed may still have to write down what it acknowledged to nobody.
const UNWRITTEN: u64 = 5_000;

struct Judge<'a> {
    ledger: &'a Ledger,
    harms: &'a [Harm],
    verdict: Verdict,
}

/// Judges a run that has ended.
pub(super) fn judge(ledger: &Ledger, stored: &Stored, harms: &[Harm]) -> Verdict {
    let mut judge = Judge {
        ledger,
        harms,
        verdict: Verdict::default(),
    };
    for (stream, number) in lost(ledger, stored) {
        let entry = &ledger.streams[stream];
        judge.line(entry).lost += 1;
        let sent = entry.state().sent[number];
        let what = format!("acknowledged at {} ms and not in Kafka", sent.at);
        judge.break_promise("lost", entry, number, &what);
    }
    for (at, stream) in ledger.streams.iter().enumerate() {
        let sent = stream.state().sent.clone();
        let given = sent.iter().filter(|s| s.promise == Promise::Given).count();
        let line = judge.line(stream);
        line.sent += sent.len() as u64;
        line.acknowledged += given as u64;
        judge.in_kafka(stream, &sent, stored.get(&at).map_or(&[], Vec::as_slice));
        judge.due(stream, &sent);
        let deliveries = stream.state().deliveries.clone();
        for (receiver, arrivals) in deliveries {
            judge.arrivals(stream, &sent, receiver, &arrivals);
        }
    }
    judge.verdict
}

impl Judge<'_> {
    fn line(&mut self, stream: &Stream) -> &mut Line {
        self.verdict.lines.entry(stream.class()).or_default()
    }

    fn break_promise(&mut self, kind: &'static str, stream: &Stream, number: usize, what: &str) {
        let (name, topic) = (&stream.name, stream.topic(number));
        let qos = stream.qos(number) as u8;
        let line = format!("{name}:{number} ({topic}, QoS {qos}): {what}");
        self.verdict.broken.entry(kind).or_default().push(line);
    }

    fn in_kafka(&mut self, stream: &Stream, sent: &[Sent], places: &[super::stored::Place]) {
        let mut copies: HashMap<usize, u64> = HashMap::new();
        let mut last = None;
        self.line(stream).stored += places.len() as u64;
        for place in places {
            let (number, message) = (place.number, sent[place.number]);
            let copy = copies.entry(number).or_default();
            *copy += 1;
            if *copy > 1 {
                let again = *copy - 1 <= u64::from(message.resent);
                let why = match stream.qos(number) {
                    QoS::ExactlyOnce => None,
                    _ if again => Some("stored again, since the device had sent it again (QoS 1)"),
                    _ if stream.is_will() => self.will_again(message.at),
                    _ => self.written_again(message.at),
                };
                let where_ = format!("stored again at {}:{}", place.partition, place.offset);
                self.doubled(stream, number, why, &where_);
            } else if message.promise == Promise::Given {
                if last.is_some_and(|last| number < last) {
                    self.line(stream).disorder += 1;
                    let what = format!("stored after {last:?} at offset {}", place.offset);
                    self.break_promise("out of order in Kafka", stream, number, &what);
                }
                last = last.max(Some(number));
            }
            self.withdrawn(stream, number, message, "stored");
        }
    }

    fn due(&mut self, stream: &Stream, sent: &[Sent]) {
        let (ledger, deliveries) = (self.ledger, stream.state().deliveries.clone());
        let arrived: HashSet<(usize, usize)> = deliveries
            .iter()
            .flat_map(|(receiver, all)| all.iter().map(|d| (*receiver, d.number)))
            .collect();
        for (number, message) in sent.iter().enumerate() {
            if message.promise != Promise::Given {
                continue;
            }
            let (topic, qos) = (stream.topic(number), stream.qos(number));
            for (receiver, _) in ledger.due(stream, &topic, qos) {
                self.line(stream).due += 1;
                if arrived.contains(&(receiver, number)) {
                    self.line(stream).received += 1;
                } else {
                    self.line(stream).missing += 1;
                    let name = &ledger.receivers[receiver].name;
                    let what = format!("acknowledged at {} ms, never at {name}", message.at);
                    self.break_promise("missing", stream, number, &what);
                }
            }
        }
    }

    fn arrivals(&mut self, stream: &Stream, sent: &[Sent], receiver: usize, all: &[Delivery]) {
        let who = &self.ledger.receivers[receiver];
        let mut first: HashMap<usize, Delivery> = HashMap::new();
        // [MQTT-4.6.0-6]: the messages of one topic and one QoS are in order.
        let mut last: HashMap<(String, QoS), usize> = HashMap::new();
        for delivery in all {
            let (number, message) = (delivery.number, sent[delivery.number]);
            if let Some(first) = first.get(&number) {
                let qos = stream.qos(number).min(who.qos);
                let why = self.explain(stream, qos, message, first, delivery);
                let what = format!(
                    "again at {}, {} ms, connection {} (first {} ms, {}), DUP {}",
                    who.name,
                    delivery.at,
                    delivery.connection,
                    first.at,
                    first.connection,
                    delivery.dup
                );
                self.doubled(stream, number, why, &what);
                continue;
            }
            first.insert(number, *delivery);
            self.withdrawn(stream, number, message, "delivered");
            if message.promise != Promise::Given {
                continue;
            }
            let of = (stream.topic(number), stream.qos(number));
            let last = last.entry(of).or_insert(number);
            if number < *last {
                let what = format!("at {} after {last}, {} ms", who.name, delivery.at);
                self.line(stream).disorder += 1;
                self.break_promise("out of order at a receiver", stream, number, &what);
            } else {
                *last = number;
            }
        }
    }

    /// Why a message may come again.
    fn explain(
        &self,
        stream: &Stream,
        qos: QoS,
        message: Sent,
        first: &Delivery,
        again: &Delivery,
    ) -> Option<&'static str> {
        // A receiver may take both long after the fault.
        let since = |harm: &Harm, at| harm.begin <= again.at && harm.recovered + UNWRITTEN >= at;
        if stream.is_downlink() && self.harms.iter().any(|harm| since(harm, message.at)) {
            return Some("record of mq2mqtt read again after a fault");
        }
        if qos == QoS::ExactlyOnce {
            return None;
        }
        if again.dup && again.connection > first.connection {
            return Some("sent again with DUP after a reconnect (QoS 1)");
        }
        if message.resent > 0 {
            return Some("published again by the device, and so delivered again (QoS 1)");
        }
        if stream.is_will() {
            return self.will_again(message.at);
        }
        if let Some(why) = self.written_again(message.at) {
            return Some(why);
        }
        // Nor is one written while Kafka is away, whose memory goes with the slot.
        let moves = |harm: &Harm| harm.fault.ends_broker() || harm.fault.scatters();
        let unwritten = self
            .harms
            .iter()
            .any(|harm| moves(harm) && since(harm, first.at) && first.at + UNWRITTEN >= harm.begin);
        let unwritten = unwritten && again.connection > first.connection;
        unwritten.then_some(
            "taken when its acknowledgement could not be written before the slot moved (QoS 1)",
        )
    }

    /// A crash may come between a will's publication and the word that it was published.
    fn will_again(&self, at: u64) -> Option<&'static str> {
        let near = |harm: &Harm| {
            harm.fault.ends_broker() && at <= harm.recovered && at + 60_000 >= harm.begin
        };
        let near = self.harms.iter().any(near);
        near.then_some("will published again by the broker that came after a crash (QoS 1)")
            .or_else(|| self.written_again(at))
    }

    /// A write that Kafka's answer was lost to is repeated by another producer in the end.
    fn written_again(&self, at: u64) -> Option<&'static str> {
        let under_way = |harm: &Harm| {
            let cut = harm.fault.scatters() || harm.fault == Fault::DropPackets;
            cut && at <= harm.recovered && at + UNWRITTEN >= harm.begin
        };
        let under_way = self.harms.iter().any(under_way);
        under_way.then_some("written again, since Kafka's answer was lost with Kafka (QoS 1)")
    }

    fn doubled(&mut self, stream: &Stream, number: usize, why: Option<&'static str>, what: &str) {
        if let Some(why) = why {
            *self.verdict.doubled.entry(why).or_default() += 1;
        } else {
            self.verdict.forbidden += 1;
            self.break_promise("doubled", stream, number, what);
        }
    }

    /// A will after an orderly DISCONNECT.
    fn withdrawn(&mut self, stream: &Stream, number: usize, message: Sent, what: &str) {
        if message.promise != Promise::Withdrawn {
            return;
        }
        // Nobody acknowledges a DISCONNECT: the broker may not have taken it when it was killed or
        // stood still, so that the connection was given up, nor have written down that the will is
        // gone when its slot moved.
        let at = message.at;
        let near = |harm: &Harm| at + UNWRITTEN >= harm.begin && at <= harm.recovered;
        if self.harms.iter().any(near) {
            let why = "will published though a DISCONNECT was under way in a fault";
            *self.verdict.doubled.entry(why).or_default() += 1;
        } else {
            self.line(stream).misdelivered += 1;
            let what = format!("{what} after the DISCONNECT at {at} ms");
            self.break_promise("will not due", stream, number, &what);
        }
    }
}

impl Stream {
    fn is_will(&self) -> bool {
        matches!(self.route, Route::Will { .. })
    }
}
