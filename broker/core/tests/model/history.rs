//! One random history, and what the clients know of it.

use crate::world::{Filter, Got, Opts, Step, World};
use isthmus_mqtt::Version::{V5, V311};
use isthmus_mqtt::topic::matches;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const CLIENTS: usize = 5;
pub(crate) const TOPICS: [&str; 6] = ["t/a", "t/b", "p/a", "p/b", "orderMsg2mq-o/x", SHARED_TOPIC];
/// What the shared subscription alone matches: `#` does not.
pub(crate) const SHARED_TOPIC: &str = "$SYS/a";
pub(crate) const SHARED: &str = "$share/g/$SYS/+";
const FILTERS: [&str; 7] = ["t/a", "t/+", "p/#", "#", "orderMsg2mq-o/x", "p/b", SHARED];

#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// `answers`: whether the client acknowledges what it gets on this connection.
    Connect {
        client: usize,
        clean: bool,
        narrow: bool,
        answers: bool,
        will: bool,
    },
    Drop {
        client: usize,
    },
    Disconnect {
        client: usize,
    },
    Subscribe {
        client: usize,
        filter: usize,
    },
    Unsubscribe {
        client: usize,
        filter: usize,
    },
    Publish {
        client: usize,
        topic: usize,
        qos: u8,
    },
    /// So many steps in an order of this seed.
    Steps {
        number: usize,
        seed: u64,
    },
    Settle,
    Time {
        ms: u64,
    },
    /// The seed says which writes under way are in the log.
    Crash {
        seed: u64,
    },
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let client = 0..CLIENTS;
    prop_oneof![
        4 => (client.clone(), prop::bool::weighted(0.25), prop::bool::weighted(0.3), prop::bool::weighted(0.8), prop::bool::weighted(0.2))
            .prop_map(|(client, clean, narrow, answers, will)| Op::Connect { client, clean, narrow, answers, will }),
        1 => client.clone().prop_map(|client| Op::Drop { client }),
        1 => client.clone().prop_map(|client| Op::Disconnect { client }),
        4 => (client.clone(), 0..FILTERS.len()).prop_map(|(client, filter)| Op::Subscribe { client, filter }),
        1 => (client.clone(), 0..FILTERS.len()).prop_map(|(client, filter)| Op::Unsubscribe { client, filter }),
        12 => (client, 0..TOPICS.len(), 0u8..3).prop_map(|(client, topic, qos)| Op::Publish { client, topic, qos }),
        8 => (1usize..40, any::<u64>()).prop_map(|(number, seed)| Op::Steps { number, seed }),
        2 => Just(Op::Settle),
        2 => prop_oneof![Just(100u64), Just(1000), Just(3000)].prop_map(|ms| Op::Time { ms }),
        2 => any::<u64>().prop_map(|seed| Op::Crash { seed }),
    ]
}

pub(crate) struct Message {
    pub(crate) publisher: usize,
    pub(crate) topic: &'static str,
    pub(crate) qos: u8,
    pub(crate) payload: String,
    pub(crate) number: usize,
}

/// What the model knows of a client.
#[derive(Default)]
pub(crate) struct Known {
    /// The session outlives its connection, and a CONNACK has said that it is there.
    pub(crate) durable: bool,
    /// A CONNECT is under way: with clean start or not.
    connecting: Option<bool>,
    /// Filters in force since message number so and so.
    pub(crate) subscribed: BTreeMap<&'static str, usize>,
    /// Every filter that it has asked for in this session.
    asked: BTreeSet<&'static str>,
    /// The SUBSCRIBE that is not answered.
    waiting: Option<&'static str>,
    /// It has unsubscribed again before that answer.
    void: bool,
    /// How many times each payload came to a durable session's application.
    pub(crate) got: BTreeMap<String, usize>,
    /// All of the application's messages, in order.
    pub(crate) all: Vec<(String, String)>,
}

pub(crate) struct Run {
    pub(crate) world: World,
    pub(crate) known: Vec<Known>,
    pub(crate) messages: Vec<Message>,
    /// The shared subscription had a member whose session ended with its connection: what that one
    /// was handed from memory a crash may lose.
    pub(crate) clean_member: bool,
}

/// The QoS that a client subscribes with, always the same.
pub(crate) fn qos_of(client: usize) -> u8 {
    [2, 1, 2, 0, 1][client]
}

impl Run {
    pub(crate) fn new() -> Self {
        let mut world = World::among(false, 2, 3, |_, _| {});
        for n in 0..CLIENTS {
            world.client(&format!("c{n}"), if n % 2 == 0 { V5 } else { V311 });
        }
        let known = (0..CLIENTS).map(|_| Known::default()).collect();
        Self {
            world,
            known,
            messages: Vec::new(),
            clean_member: false,
        }
    }

    pub(crate) fn take(&mut self, op: &Op) {
        match *op {
            Op::Connect {
                client,
                clean,
                narrow,
                answers,
                will,
            } => {
                self.connect(client, clean, narrow, answers, will);
            }
            Op::Drop { client } => {
                if let Some(id) = self.world.clients[client].conn {
                    self.world.cut(id);
                }
            }
            Op::Disconnect { client } => {
                if self.world.clients[client].connected {
                    self.world.write(client, vec![0xE0, 0]);
                }
            }
            Op::Subscribe { client, filter } => self.subscribe(client, FILTERS[filter]),
            Op::Unsubscribe { client, filter } => {
                if self.world.clients[client].connected {
                    let known = &mut self.known[client];
                    known.subscribed.remove(FILTERS[filter]);
                    known.void |= known.waiting == Some(FILTERS[filter]);
                    self.world.start_unsubscribe(client, FILTERS[filter]);
                }
            }
            Op::Publish { client, topic, qos } => self.publish(client, TOPICS[topic], qos),
            Op::Steps { number, seed } => self.steps(number, seed),
            Op::Settle => self.settle(),
            Op::Time { ms } => self.world.tick(ms),
            Op::Crash { seed } => {
                let mut random = seed | 1;
                self.world.crash(|_| next(&mut random).is_multiple_of(2));
            }
        }
        self.learn();
    }

    fn connect(&mut self, client: usize, clean: bool, narrow: bool, answers: bool, will: bool) {
        let mut opts = if clean {
            Opts::clean()
        } else {
            Opts::durable()
        };
        if narrow && self.world.clients[client].version == V5 {
            opts.receive_maximum = Some(2);
        }
        if will {
            opts = opts.will("w", "gone", 1, 0);
        }
        self.learn();
        let known = &mut self.known[client];
        if clean || !known.durable {
            // From here on its old session may be gone.
            known.subscribed.clear();
            known.durable = false;
        }
        known.connecting = Some(clean);
        known.waiting = None;
        self.world.clients[client].answers = answers;
        self.world.start_connect(client, &opts);
        self.world.clients[client].got.clear();
    }

    fn subscribe(&mut self, client: usize, filter: &'static str) {
        let known = &mut self.known[client];
        if !self.world.clients[client].connected || known.waiting.is_some() {
            return;
        }
        if filter == SHARED {
            if qos_of(client) == 0 {
                return;
            }
            self.clean_member |= !known.durable;
        }
        known.asked.insert(filter);
        known.waiting = Some(filter);
        known.void = false;
        self.world
            .start_subscribe(client, &[Filter::new(filter, qos_of(client))], None);
    }

    fn publish(&mut self, client: usize, topic: &'static str, qos: u8) {
        // As many as the broker lets it have under way.
        if !self.world.clients[client].connected || self.world.clients[client].unacked.len() >= 60 {
            return;
        }
        let number = self.messages.len();
        let payload = format!("{client}:{number}");
        self.world
            .start_publish(client, topic, qos, &payload, false);
        self.messages.push(Message {
            publisher: client,
            topic,
            qos,
            payload,
            number,
        });
    }

    fn steps(&mut self, number: usize, seed: u64) {
        let mut random = seed | 1;
        for _ in 0..number {
            let steps = self.world.steps();
            if steps.is_empty() {
                return;
            }
            let at = usize::try_from(next(&mut random) % steps.len() as u64).unwrap();
            self.step(&steps[at]);
        }
    }

    fn step(&mut self, step: &Step) {
        self.world.take(step);
        self.learn();
    }

    pub(crate) fn settle(&mut self) {
        for _ in 0..50_000 {
            let Some(step) = self.world.steps().first().cloned() else {
                return;
            };
            self.step(&step);
        }
        panic!("it never settles: {:?}", self.world.steps());
    }

    /// What the clients have got since the last call.
    fn learn(&mut self) {
        for client in 0..CLIENTS {
            for got in self.world.got(client) {
                self.one(client, &got);
            }
            let app = std::mem::take(&mut self.world.clients[client].app);
            let known = &mut self.known[client];
            for message in app {
                if known.durable {
                    *known.got.entry(message.payload.clone()).or_default() += 1;
                }
                known.all.push((message.topic, message.payload));
            }
        }
    }

    fn one(&mut self, client: usize, got: &Got) {
        let numbers = self.messages.len();
        let known = &mut self.known[client];
        match got {
            Got::ConnAck { present, reason: 0 } => {
                let clean = known.connecting.take().expect("a CONNECT");
                assert!(
                    !(clean && *present),
                    "c{client}: clean start, and a session is present"
                );
                // 3.1.1 and 5 both say it.
                assert!(*present || !known.durable, "c{client}: its session is gone");
                if !present {
                    known.asked.clear();
                    known.subscribed.clear();
                }
                known.durable = !clean;
            }
            Got::Publish(message) => {
                let due = known
                    .asked
                    .iter()
                    .any(|filter| matches(inner(filter), &message.topic));
                assert!(
                    due,
                    "c{client} got {message:?}, and asked for {:?}",
                    known.asked
                );
            }
            Got::SubAck(codes) => {
                assert_eq!(codes, &[qos_of(client)]);
                let filter = known.waiting.take().expect("a SUBSCRIBE");
                if !std::mem::take(&mut known.void) {
                    known.subscribed.entry(filter).or_insert(numbers);
                }
            }
            Got::Closed => known.waiting = None,
            Got::Disconnect(reason) => {
                assert!(
                    matches!(reason, 0x8E | 0x8B),
                    "c{client}: DISCONNECT {reason:#x}"
                );
            }
            Got::ConnAck { .. } | Got::Ack(..) | Got::UnsubAck(_) | Got::Pong => {}
        }
    }

    /// All is done that can be done, and every durable session has been fetched.
    pub(crate) fn come_to_rest(&mut self) {
        self.settle();
        // Who asked for a clean start and was not answered: its old session may be there still.
        for client in 0..CLIENTS {
            if self.known[client].connecting == Some(true) {
                self.connect(client, true, false, true, false);
                self.settle();
            }
        }
        for round in 0..2 {
            for client in 0..CLIENTS {
                if self.known[client].durable {
                    self.connect(client, false, round == 0, true, false);
                    self.settle();
                    self.learn();
                }
            }
            self.world.tick(1000);
            self.settle();
        }
    }
}

pub(crate) fn inner(filter: &str) -> &str {
    isthmus_mqtt::topic::parse_shared(filter).map_or(filter, |(_, inner)| inner)
}

/// xorshift64
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
