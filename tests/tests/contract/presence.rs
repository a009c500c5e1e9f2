//! Section 4, rulings 16 and 18: who came, who went, in which order.

use isthmus_tests::client::Outgoing;
use isthmus_tests::{Client, Options, QoS, Record, Tail, Version, unique};

use crate::EVERY_VERSION;

struct Presence {
    connects: Tail,
    disconnects: Tail,
}

impl Presence {
    fn follow() -> Self {
        let service = crate::shared();
        let tail = |name| Tail::from_now(service.bootstrap(), &service.topic(name));
        Self {
            connects: tail("mqtt-device-connect"),
            disconnects: tail("mqtt-device-disconnect"),
        }
    }
}

/// The value's exact bytes; gives `ts`.
#[track_caller]
fn assert_value(record: &Record, id: &str) -> i64 {
    let ts = record.json()["ts"].as_i64().expect("ts");
    assert_eq!(record.text(), format!(r#"{{"clientid":"{id}","ts":{ts}}}"#));
    assert_eq!(record.key(), id);
    ts
}

#[test]
fn a_connection_gives_one_connect_and_one_disconnect_record() {
    for (version, protocol) in EVERY_VERSION.into_iter().zip(["3.1", "3.1.1", "5"]) {
        let mut presence = Presence::follow();
        let id = unique("here");
        let device = Client::connect(
            &crate::shared().address(),
            &Options::new(&id).version(version),
        );
        let connect = presence.connects.keyed(&id);
        device.disconnect();
        let disconnect = presence.disconnects.keyed(&id);
        let (came, went) = (assert_value(&connect, &id), assert_value(&disconnect, &id));
        assert!(
            came < went,
            "ts strictly increases per clientId: {came}, {went}"
        );
        for record in [&connect, &disconnect] {
            assert_eq!(record.header("username"), Some("device"));
            assert!(
                record
                    .header("peer")
                    .is_some_and(|peer| peer.starts_with("127.0.0.1")),
                "{record:?}"
            );
            assert!(
                record
                    .header("protocol")
                    .is_some_and(|name| name.contains(protocol)),
                "{record:?}"
            );
            assert!(
                record.header("node").is_some_and(|node| !node.is_empty()),
                "{record:?}"
            );
            assert!(
                record.header("connection").is_some_and(|c| !c.is_empty()),
                "{record:?}"
            );
        }
        assert_eq!(
            connect.header("connection"),
            disconnect.header("connection"),
            "the pair"
        );
        assert!(
            disconnect
                .header("reason")
                .is_some_and(|reason| !reason.is_empty())
        );
        assert_eq!(connect.header("reason"), None);
    }
}

/// "One per connection end of a connected client, whatever the cause."
#[test]
fn every_kind_of_end_gives_a_disconnect_record() {
    let address = crate::shared().address();
    let mut reasons = Vec::new();
    // Keep-alive in seconds, and how the connection ends.
    let ends: [(u16, fn(Client)); 4] = [
        (0, Client::disconnect),
        (0, Client::vanish),
        (0, |mut client| {
            // A protocol error: packet type 0 is reserved.
            client.write(&[0x00, 0x00]).unwrap();
            client.ended();
        }),
        // Silence.
        (1, |mut client| {
            client.ended();
        }),
    ];
    for (keep_alive, end) in ends {
        let mut presence = Presence::follow();
        let id = unique("gone");
        let mut options = Options::new(&id);
        options.keep_alive = keep_alive;
        let device = Client::connect(&address, &options);
        end(device);
        presence.connects.keyed(&id);
        let record = presence.disconnects.keyed(&id);
        assert_value(&record, &id);
        reasons.push(record.header("reason").expect("reason").to_owned());
    }
    assert_ne!(
        reasons[0], reasons[1],
        "an orderly end and a lost connection"
    );
    assert_ne!(
        reasons[0], reasons[3],
        "an orderly end and a keep-alive time-out"
    );
}

/// "Connect: one per CONNACK with success."
#[test]
fn a_refused_connection_leaves_no_record() {
    let mut presence = Presence::follow();
    let id = unique("refused");
    let options = Options::new(&id).account("device", "wrong");
    assert!(Client::try_connect(&crate::shared().address(), &options).is_err());
    // The same clientId, let in: its records are the first.
    let device = Client::connect(&crate::shared().address(), &Options::new(&id));
    device.disconnect();
    assert_value(&presence.disconnects.keyed(&id), &id);
    assert_value(&presence.connects.keyed(&id), &id);
    let marker = unique("marker");
    Client::connect(&crate::shared().address(), &Options::new(&marker)).disconnect();
    for tail in [&mut presence.connects, &mut presence.disconnects] {
        tail.find("the marker", |record| {
            assert_ne!(
                record.key.as_deref(),
                Some(id.as_bytes()),
                "a record for a refused connection"
            );
            record.key.as_deref() == Some(marker.as_bytes())
        });
    }
}

/// Section 4 and ruling 16: disconnect event, will, connect event.
#[test]
fn a_takeover_gives_disconnect_then_will_then_connect() {
    let service = crate::shared();
    for version in [Version::V311, Version::V5] {
        let mut presence = Presence::follow();
        let mut stored = Tail::from_now(service.bootstrap(), &service.topic("up"));
        let id = unique("taken");
        let options =
            Options::new(&id)
                .version(version)
                .will("up/wills", "taken over", QoS::AtLeastOnce);
        let mut first = Client::connect(&service.address(), &options);
        let came = assert_value(&presence.connects.keyed(&id), &id);
        let second = Client::connect(&service.address(), &Options::new(&id).version(version));
        assert_eq!(
            first.ended(),
            (version == Version::V5).then_some(0x8E),
            "session taken over"
        );
        let went = assert_value(&presence.disconnects.keyed(&id), &id);
        let will = stored.keyed(&id);
        let will_ts = will.json()["ts"].as_i64().unwrap();
        assert_eq!(will.json()["payload"], "taken over");
        let again = assert_value(&presence.connects.keyed(&id), &id);
        assert!(came < went && went < again, "{came} {went} {again}");
        assert!(
            went <= will_ts && will_ts <= again,
            "will at {will_ts}, between {went} and {again}"
        );
        second.disconnect();
        let last = assert_value(&presence.disconnects.keyed(&id), &id);
        assert!(again < last);
    }
}

/// Ruling 18: strictly increasing over both topics, however fast the device comes and goes.
#[test]
fn times_strictly_increase_for_a_device_that_flaps() {
    let mut presence = Presence::follow();
    let id = unique("flap");
    for _ in 0..20 {
        Client::connect(&crate::shared().address(), &Options::new(&id)).disconnect();
    }
    let mut last = 0;
    for _ in 0..20 {
        let (connect, disconnect) = (
            presence.connects.keyed(&id),
            presence.disconnects.keyed(&id),
        );
        let (came, went) = (assert_value(&connect, &id), assert_value(&disconnect, &id));
        assert!(last < came && came < went, "{last} {came} {went}");
        assert_eq!(
            connect.header("connection"),
            disconnect.header("connection")
        );
        last = went;
    }
}

/// Presence does not depend on what the device does.
#[test]
fn a_session_that_is_kept_goes_and_comes_like_any_other() {
    let mut presence = Presence::follow();
    let id = unique("kept");
    let options = Options::new(&id).persistent();
    for _ in 0..2 {
        let mut device = Client::connect(&crate::shared().address(), &options);
        device.publish(&Outgoing::new("up/x", "x"));
        assert_value(&presence.connects.keyed(&id), &id);
        device.disconnect();
        assert_value(&presence.disconnects.keyed(&id), &id);
    }
}
