//! The cloud application: an ordinary idempotent producer that writes to `mq2mqtt` all the while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use isthmus_mqtt::QoS;
use rdkafka::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use super::ledger::Promise;
use super::world::{Phase, World};
use crate::records;

/// Longer than any recovery.
const PATIENCE: Duration = Duration::from_secs(150);

/// Enters in the ledger what Kafka has acknowledged.
struct Confirmed(Arc<World>);

impl ClientContext for Confirmed {}

impl ProducerContext for Confirmed {
    type DeliveryOpaque = Box<(usize, usize)>;

    fn delivery(&self, result: &DeliveryResult<'_>, record: Self::DeliveryOpaque) {
        let (stream, number) = *record;
        match result {
            Ok(_) => self.0.ledger.promise(stream, number, Promise::Given),
            Err((error, _)) => {
                let name = &self.0.ledger.streams[stream].name;
                let what = format!("the producer of {name}:{number} gave up: {error}");
                self.0.ledger.break_promise(what);
            }
        }
    }
}

/// Produces one record every `period`, to each stream in turn, until the run settles.
pub(super) fn run(world: &Arc<World>, bootstrap: &str, topic: &str, period: Duration) {
    let streams: Vec<usize> = (0..world.ledger.streams.len())
        .filter(|at| world.ledger.streams[*at].is_downlink())
        .collect();
    let mut config = records::config(bootstrap);
    config.remove("group.id");
    config
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", "0")
        .set("linger.ms", "5");
    let producer: BaseProducer<Confirmed> = config
        .create_with_context(Confirmed(Arc::clone(world)))
        .expect("producer");
    let mut turn = streams.iter().cycle();
    let mut next = Instant::now();
    while world.phase() < Phase::Settling {
        next += period;
        if let Some(stream) = turn.next() {
            produce(world, &producer, topic, *stream);
        }
        producer.poll(next.saturating_duration_since(Instant::now()));
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    if let Err(error) = producer.flush(PATIENCE) {
        let what = format!("Kafka does not take the last records of mq2mqtt: {error}");
        world.ledger.break_promise(what);
    }
}

fn produce(world: &World, producer: &BaseProducer<Confirmed>, topic: &str, stream: usize) {
    let number = world.ledger.send(stream);
    let entry = &world.ledger.streams[stream];
    let (name, payload) = (entry.topic(number), entry.payload(number));
    let qos = if entry.qos(number) == QoS::ExactlyOnce {
        "2"
    } else {
        "1"
    };
    let header = |key, value| Header {
        key,
        value: Some(value),
    };
    let headers = OwnedHeaders::new()
        .insert(header("mqttTopic", name.as_str()))
        .insert(header("qosLevel", qos));
    let mut record: BaseRecord<'_, str, [u8], _> =
        BaseRecord::with_opaque_to(topic, Box::new((stream, number)))
            .headers(headers)
            .key(entry.client.as_str())
            .payload(payload.as_slice());
    while let Err((error, back)) = producer.send(record) {
        assert!(
            matches!(
                error,
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)
            ),
            "the producer takes no record: {error}"
        );
        producer.poll(Duration::from_millis(100));
        record = back;
    }
}
