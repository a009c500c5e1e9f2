//! Devices of both QoS that publish under a stored parent, and a persistent subscriber for each.

use isthmus_mqtt::{QoS, Version};

use super::{
    Published, Publisher, Subscriber, assert_complete_in_order, assert_exactly_once, stored,
};
use crate::{Options, Service, Tail};

/// A running load.
pub struct Load {
    lanes: Vec<Lane>,
}

struct Lane {
    topic: String,
    device: String,
    qos: QoS,
    publisher: Publisher,
    subscriber: Subscriber,
    sessions: [Options; 2],
}

impl Load {
    /// Starts a device and a subscriber for QoS 1 (MQTT 3.1.1) and QoS 2 (MQTT 5); each device sends
    /// `per_second` messages, or as many as are acknowledged.
    #[must_use]
    pub fn start(service: &Service, per_second: Option<u32>) -> Self {
        Self::named(service, "", per_second)
    }

    /// The same, with a name that makes devices and topics its own.
    #[must_use]
    pub fn named(service: &Service, name: &str, per_second: Option<u32>) -> Self {
        let address = service.address();
        let lane = |(qos, version): (QoS, Version)| {
            let name = format!("q{}{name}", qos as u8);
            let options = |role: &str| {
                Options::new(&format!("{role}-{name}"))
                    .version(version)
                    .persistent()
            };
            let topic = format!("up/{name}");
            let device = options("pub");
            let sessions = [device.clone(), options("sub")];
            let subscriber = Subscriber::start(&address, &options("sub"), &topic, qos);
            let publisher = Publisher::start(&address, &device, &topic, qos, 16, per_second);
            Lane {
                topic,
                device: device.client_id,
                qos,
                publisher,
                subscriber,
                sessions,
            }
        };
        let lanes = [
            (QoS::AtLeastOnce, Version::V311),
            (QoS::ExactlyOnce, Version::V5),
        ];
        Self {
            lanes: lanes.into_iter().map(lane).collect(),
        }
    }

    /// Messages acknowledged so far, a number a device.
    #[must_use]
    pub fn acknowledged(&self) -> Vec<u64> {
        self.lanes
            .iter()
            .map(|lane| lane.publisher.acknowledged())
            .collect()
    }

    /// Of every device, publishers and subscribers alike, what its next CONNECT says.
    #[must_use]
    pub fn sessions(&self) -> Vec<Options> {
        self.lanes
            .iter()
            .flat_map(|lane| lane.sessions.clone())
            .collect()
    }

    /// Waits until each device has `more` further messages acknowledged.
    #[track_caller]
    pub fn wait_for(&self, more: u64) {
        for lane in &self.lanes {
            lane.publisher.wait_for(more);
        }
    }

    /// Ends the load and compares what was acknowledged with Kafka and with the subscribers.
    #[track_caller]
    pub fn verdict(self, service: &Service) -> Vec<Published> {
        let (publishers, rest): (Vec<_>, Vec<_>) = self
            .lanes
            .into_iter()
            .map(|lane| {
                (
                    lane.publisher,
                    (lane.topic, lane.device, lane.qos, lane.subscriber),
                )
            })
            .unzip();
        let reports: Vec<Published> = publishers.into_iter().map(Publisher::finish).collect();
        for (report, (topic, device, qos, subscriber)) in reports.iter().zip(rest) {
            let last = report.last;
            eprintln!(
                "{topic}: {} acknowledged, {} connections, slowest {:?}",
                last + 1,
                report.connections,
                report.slowest
            );
            assert_eq!(
                report.forgotten, 0,
                "{topic}: the publisher's session was forgotten"
            );
            let mut tail = Tail::from_start(service.bootstrap(), &service.topic("up"));
            let stored = stored(&mut tail, &device, last);
            let received = subscriber.finish(&[(topic.clone(), last)]);
            let check = match qos {
                QoS::ExactlyOnce => assert_exactly_once,
                QoS::AtMostOnce | QoS::AtLeastOnce => assert_complete_in_order,
            };
            check(&format!("{topic} in Kafka"), &stored, last);
            check(
                &format!("{topic} at the subscriber"),
                &received[&topic],
                last,
            );
        }
        reports
    }
}
