//! Sections 2.5 to 2.7: order, strict order, and what an acknowledgement means.

use isthmus_tests::client::Outgoing;
use isthmus_tests::{QoS, Tail, unique};

use crate::{EVERY_QOS, client, client5};

/// 2.5: one device, one partition, in order, over child topics and reconnects.
#[test]
fn a_devices_messages_stay_in_order_in_one_partition() {
    let service = crate::shared();
    for parent in ["up", "orderMsg2mq-up"] {
        let id = unique("order");
        let mut tail = Tail::from_now(service.bootstrap(), &service.topic(parent));
        for connection in 0..3 {
            let mut device = client(&id);
            for n in 0..100 {
                let number = connection * 100 + n;
                let qos = EVERY_QOS[usize::try_from(number % 3).unwrap()];
                let message =
                    Outgoing::new(&format!("{parent}/child-{}", n % 7), number.to_string());
                device.send(&message.qos(qos)).unwrap();
            }
            device.publish(&Outgoing::new(parent, "end of connection"));
            device.disconnect();
        }
        client(&id).publish(&Outgoing::new(parent, "end"));
        let records = tail.keyed_until(&id, |record| record.json()["payload"] == "end");
        assert!(
            records
                .iter()
                .all(|record| record.partition == records[0].partition)
        );
        let numbers: Vec<u32> = records
            .iter()
            .filter_map(|record| record.json()["payload"].as_str().unwrap().parse().ok())
            .collect();
        assert_eq!(numbers, (0..300).collect::<Vec<_>>(), "{parent}");
    }
}

/// Ruling 5: the partition is the one that a Java producer would take.
#[test]
fn the_partition_is_that_of_the_java_producer() {
    let service = crate::shared();
    let mut tail = Tail::from_now(service.bootstrap(), &service.topic("up"));
    for _ in 0..10 {
        let id = unique("murmur");
        client(&id).publish(&Outgoing::new("up/x", "x"));
        let expected = i64::from(murmur2(id.as_bytes()) & 0x7fff_ffff) % 3;
        assert_eq!(i64::from(tail.keyed(&id).partition), expected, "{id}");
    }
}

/// Kafka's `Utils.murmur2`, from its source.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h = 0x9747_b28c ^ u32::try_from(data.len()).unwrap();
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    for (at, byte) in rest.iter().enumerate() {
        h ^= u32::from(*byte) << (8 * at);
    }
    if !rest.is_empty() {
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

/// 2.7, ruling 6: when the acknowledgement is here, a `read_committed` consumer finds the record.
#[test]
fn what_is_acknowledged_is_in_kafka() {
    let service = crate::shared();
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let id = unique("stored");
        let mut device = client5(&id);
        for n in 0..20 {
            let topic = service.topic("up");
            let mut tail = Tail::from_now(service.bootstrap(), &topic);
            assert_eq!(
                device.publish(&Outgoing::new("up/x", n.to_string()).qos(qos)),
                0
            );
            assert_eq!(tail.keyed(&id).json()["payload"], n.to_string());
            // The end of the log as it was at the acknowledgement already held it.
            drop(tail);
        }
    }
}

/// Rulings 4: `start` and `seq` let a consumer tell a late record.
#[test]
fn start_and_seq_grow_with_the_order() {
    let service = crate::shared();
    let id = unique("seq");
    let mut tail = Tail::from_now(service.bootstrap(), &service.topic("up"));
    let mut device = client(&id);
    for n in 0..10 {
        device.publish(&Outgoing::new("up/x", n.to_string()));
    }
    let records = tail.keyed_until(&id, |record| record.json()["payload"] == "9");
    let start = records[0].header("start").expect("header start").to_owned();
    let mut last = None;
    for record in &records {
        assert_eq!(record.header("start"), Some(start.as_str()));
        let seq: u64 = record.header("seq").expect("header seq").parse().unwrap();
        assert!(last < Some(seq), "seq {seq} after {last:?}");
        last = Some(seq);
    }
}

/// Ruling 14: a retained message and the one that clears it are each stored once; replays are not.
#[test]
fn retained_messages_are_stored_once_and_their_replays_never() {
    let service = crate::shared();
    let id = unique("retained");
    let topic = format!("up/{id}");
    let mut tail = Tail::from_now(service.bootstrap(), &service.topic("up"));
    let mut device = client(&id);
    device.publish(&Outgoing::new(&topic, "state").retained());
    for _ in 0..3 {
        let mut subscriber = client(&unique("sub"));
        subscriber.subscribe(&topic, QoS::AtLeastOnce);
        let replay = subscriber.message();
        assert!(replay.retain && replay.text() == "state");
    }
    device.publish(&Outgoing::new(&topic, "").retained());
    let mut late = client(&unique("sub"));
    late.subscribe(&topic, QoS::AtLeastOnce);
    device.publish(&Outgoing::new(&topic, "live"));
    assert_eq!(
        late.message().text(),
        "live",
        "a cleared message was replayed"
    );
    let payloads: Vec<_> = tail
        .keyed_until(&id, |record| record.json()["payload"] == "live")
        .iter()
        .map(|record| {
            (
                record.json()["payload"].as_str().unwrap().to_owned(),
                record.header("retain").map(str::to_owned),
            )
        })
        .collect();
    let expected = [("state", "true"), ("", "true"), ("live", "false")];
    assert_eq!(
        payloads,
        expected.map(|(p, r)| (p.to_owned(), Some(r.to_owned())))
    );
}
