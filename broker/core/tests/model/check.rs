//! What must hold at the end of every history.

use crate::history::{CLIENTS, Message, Run, SHARED, SHARED_TOPIC, TOPICS, qos_of};
use crate::world::Opts;
use isthmus_mqtt::topic::matches;
use std::collections::BTreeMap;

impl Run {
    fn acknowledged(&self) -> impl Iterator<Item = &Message> {
        let acked = |m: &&Message| self.world.clients[m.publisher].acked.contains(&m.payload);
        self.messages.iter().filter(acked)
    }

    fn stored(&self) -> BTreeMap<&str, usize> {
        let mut times = BTreeMap::new();
        for record in self.world.log.parents.values().flatten() {
            *times.entry(&*record.payload).or_default() += 1;
        }
        times
    }

    pub(crate) fn everything_acknowledged_is_in_its_parent(&self) {
        let times = self.stored();
        for message in self
            .acknowledged()
            .filter(|m| !m.topic.starts_with(['t', '$']))
        {
            let times = times.get(&*message.payload).copied().unwrap_or_default();
            assert!(
                times > 0,
                "{} was acknowledged and is not in {}",
                message.payload,
                message.topic
            );
        }
        for message in self.messages.iter().filter(|m| m.qos == 2) {
            let times = times.get(&*message.payload).copied().unwrap_or_default();
            assert!(
                times < 2,
                "{} of QoS 2 is {times} times in {}",
                message.payload,
                message.topic
            );
        }
    }

    pub(crate) fn parents_stand_in_the_devices_order(&self) {
        for records in self.world.log.parents.values() {
            let payloads = records.iter().map(|r| &*r.payload).filter(|p| *p != "gone");
            let acked: Vec<&str> = self.acknowledged().map(|m| &*m.payload).collect();
            in_order(payloads.filter(|p| acked.contains(p)));
        }
    }

    pub(crate) fn durable_subscribers_got_what_was_due(&self) {
        for (client, known) in self.known.iter().enumerate() {
            for message in self
                .messages
                .iter()
                .filter(|m| m.qos == 2 && m.topic != SHARED_TOPIC && qos_of(client) == 2)
            {
                let times = known.got.get(&message.payload).copied().unwrap_or_default();
                assert!(
                    times < 2,
                    "c{client} got {} of QoS 2 {times} times",
                    message.payload
                );
            }
            if !known.durable || qos_of(client) == 0 {
                continue;
            }
            for message in self.acknowledged() {
                let due = |(filter, since): (&&str, &usize)| {
                    *since <= message.number && matches(filter, message.topic)
                };
                if known.subscribed.iter().any(due) {
                    let got = known.got.contains_key(&message.payload);
                    assert!(
                        got,
                        "c{client} never got {} to {}",
                        message.payload, message.topic
                    );
                }
            }
        }
    }

    /// Ruling 15: while the group has a durable member, somebody gets it.
    pub(crate) fn the_group_got_what_was_due(&self) {
        let members: Vec<usize> = self
            .known
            .iter()
            .filter(|k| k.durable)
            .filter_map(|k| k.subscribed.get(SHARED).copied())
            .collect();
        for message in self
            .acknowledged()
            .filter(|m| m.topic == SHARED_TOPIC && m.qos == 1)
        {
            if members.iter().any(|since| *since <= message.number) && !self.clean_member {
                let got = self
                    .known
                    .iter()
                    .any(|k| k.all.iter().any(|(_, payload)| *payload == message.payload));
                assert!(got, "nobody of the group got {}", message.payload);
            }
        }
    }

    /// Of each publisher, topic and QoS [MQTT-4.6.0-5]. What was published before a subscription
    /// comes to it when its publisher sends it again, behind later ones.
    pub(crate) fn deliveries_are_in_order(&self) {
        for known in &self.known {
            for topic in TOPICS.into_iter().filter(|t| *t != SHARED_TOPIC) {
                for qos in 0..3 {
                    let since = |number: usize| {
                        known
                            .subscribed
                            .iter()
                            .any(|(filter, since)| *since <= number && matches(filter, topic))
                    };
                    let same = |payload: &str| {
                        self.messages
                            .iter()
                            .any(|m| m.payload == payload && m.qos == qos && since(m.number))
                    };
                    let payloads = known.all.iter().filter(|(t, p)| t == topic && same(p));
                    in_order(payloads.map(|(_, payload)| &**payload));
                }
            }
        }
    }

    /// Every session ends.
    pub(crate) fn everyone_leaves(&mut self) {
        for client in 0..CLIENTS {
            self.world.connect(client, &Opts::clean()).unwrap();
            self.world.disconnect(client);
        }
        self.world.pass(3);
    }

    pub(crate) fn nothing_is_left(&self) {
        assert_eq!(self.world.log.state_keys(), Vec::<String>::new());
        assert_eq!(self.world.log.routed(), Vec::<String>::new());
        assert!(self.world.routes.is_empty());
        assert!(self.world.is_idle());
        assert!(self.world.conns.is_empty());
        for shard in &self.world.shards {
            assert!(shard.is_settled());
            let left: Vec<_> = shard
                .leftovers()
                .into_iter()
                .filter(|(_, n)| *n > 0)
                .collect();
            assert_eq!(left, []);
        }
        let events = &self.world.log.presence;
        for client in 0..CLIENTS {
            let own: Vec<_> = events
                .iter()
                .filter(|p| p.client == format!("c{client}"))
                .collect();
            assert!(own.is_sorted_by(|a, b| a.ts < b.ts), "{own:?}");
            for pair in own.chunks(2) {
                assert!(
                    pair.len() == 2 && pair[0].connects && !pair[1].connects,
                    "{own:?}"
                );
                assert_eq!(pair[0].connection, pair[1].connection);
            }
        }
    }
}

/// First occurrences of `<publisher>:<number>` rise for each publisher.
fn in_order<'a>(payloads: impl Iterator<Item = &'a str>) {
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    let mut seen: Vec<&str> = Vec::new();
    for payload in payloads {
        if seen.contains(&payload) {
            continue;
        }
        seen.push(payload);
        let (publisher, number) = payload.split_once(':').unwrap();
        let number: usize = number.parse().unwrap();
        let before = last.insert(publisher, number);
        assert!(
            before.is_none_or(|before| before < number),
            "{payload} after {before:?}: {seen:?}"
        );
    }
}
