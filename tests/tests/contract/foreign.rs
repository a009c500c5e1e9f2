//! A device works at a broker that does not own it as at any other, whatever it speaks.

use std::collections::BTreeMap;

use isthmus_core::hash::slot;
use isthmus_core::record::{OWNER_KEY, OwnerRecord, decode};
use isthmus_tests::client::Outgoing;
use isthmus_tests::{Client, Options, QoS, SOON, Service, Tail, Version, eventually, unique, web};

use crate::{EVERY_VERSION, shared};

/// Which broker owns each slot, once each has one that runs: read from the routes.
fn owners(service: &Service) -> BTreeMap<u16, u16> {
    let name = &service.spec().name;
    let topic = format!("__mqtt.default.{name}.routes");
    let slots = service.spec().slots;
    let mut routes = Tail::from_start(service.bootstrap(), &topic);
    let mut owners = BTreeMap::new();
    eventually(
        "every slot has an owner, and every broker slots",
        SOON,
        || {
            while let Some(record) = routes.poll(std::time::Duration::from_millis(300)) {
                if record.key.as_deref() != Some(OWNER_KEY) {
                    continue;
                }
                let slot = u16::try_from(record.partition).unwrap();
                let Some(value) = record.value else {
                    owners.remove(&slot); // given away
                    continue;
                };
                let owner: OwnerRecord = decode(&value).expect("an owner");
                let number = owner.node.rsplit_once('-').expect("a number").1;
                owners.insert(slot, number.parse().unwrap());
            }
            let all = owners.len() == usize::from(slots);
            let each = (0..crate::BROKERS).all(|n| owners.values().any(|owner| *owner == n));
            (all && each).then_some(())
        },
    );
    owners
}

/// A clientId that the broker owns.
fn owned_by(broker: u16, owners: &BTreeMap<u16, u16>) -> String {
    (0..100_000)
        // MQTT 3.1 allows 23 characters.
        .map(|_| unique("far"))
        .find(|id| owners[&slot(id, shared().spec().slots)] == broker)
        .expect("a clientId for every broker")
}

/// The device, connected to `at`, publishes into Kafka, is heard by a subscriber at another broker,
/// hears one there, and gets what it missed while it was away.
fn works(at: &str, elsewhere: &str, id: &str, version: Version, stored: &mut Tail) {
    let options = Options::new(id).version(version).persistent();
    let mut device = Client::connect(at, &options);
    assert!(!device.welcome.session_present);
    device.subscribe(&format!("to/{id}"), QoS::ExactlyOnce);
    let near = Options::new(&unique("near")).version(version);
    let mut near = Client::connect(elsewhere, &near);
    near.subscribe(&format!("up/{id}"), QoS::ExactlyOnce);

    for (qos, text) in crate::EVERY_QOS.into_iter().zip(["nought", "one", "two"]) {
        device.publish(&Outgoing::new(&format!("up/{id}"), text).qos(qos));
        assert_eq!(near.message().text(), text);
        assert_eq!(stored.keyed(id).json()["payload"], text);
        near.publish(&Outgoing::new(&format!("to/{id}"), text).qos(qos));
        assert_eq!(device.message().text(), text);
    }
    device.disconnect();
    near.publish(&Outgoing::new(&format!("to/{id}"), "missed"));
    let mut device = Client::connect(at, &options);
    // MQTT 3.1 does not say it.
    let says = version != Version::V31;
    assert_eq!(device.welcome.session_present, says, "{id} at {at}");
    assert_eq!(device.message().text(), "missed");
    device.disconnect();
    near.disconnect();
}

#[test]
fn devices_of_every_version_and_transport_work_at_brokers_that_do_not_own_them() {
    let service = shared();
    let owners = owners(service);
    let mut stored = Tail::from_now(service.bootstrap(), &service.topic("up"));
    for owner in 0..crate::BROKERS {
        let at = (owner + 1) % crate::BROKERS;
        let elsewhere = service.address_of((owner + 2) % crate::BROKERS);
        let tcp = service.address_of(at);
        let web = web::tunnel(&service.web_address_of(at));
        for version in EVERY_VERSION {
            for address in [&tcp, &web] {
                let id = owned_by(owner, &owners);
                works(address, &elsewhere, &id, version, &mut stored);
            }
        }
    }
}
