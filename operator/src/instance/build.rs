//! What a valid instance is made of: the broker's configuration and the Kafka topics. Pure, so
//! that local mode and the controllers build the same.

use std::time::Duration;

use isthmus_config::{BrokerConfig, InstanceRef, TcpListener, WsListener};
use isthmus_kafka::names::Names;
use isthmus_kafka::provision::{
    InternalSettings, SystemSettings, TopicSpec, internal_topics, system_topics,
};

use super::ValidInstance;

/// Where one broker process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The address that every listener binds.
    pub bind: std::net::IpAddr,
    /// Added to every port.
    pub port_offset: u16,
    /// Kafka as this process reaches it.
    pub bootstrap_servers: String,
    /// Its number among the instance's brokers.
    pub ordinal: u16,
}

impl Placement {
    /// A port as it is bound here. Validated ports and offsets stay below 65536.
    #[must_use]
    pub fn port(&self, written: u16) -> u16 {
        written.saturating_add(self.port_offset)
    }

    fn address(&self, port: u16) -> String {
        std::net::SocketAddr::new(self.bind, self.port(port)).to_string()
    }
}

/// The names of the instance's Kafka topics.
#[must_use]
pub fn names(instance: &ValidInstance) -> Names {
    Names::new(&instance.topic_prefix, &instance.namespace, &instance.name)
}

/// The configuration of one broker process.
#[must_use]
pub fn broker_config(instance: &ValidInstance, place: &Placement) -> BrokerConfig {
    BrokerConfig {
        instance: InstanceRef {
            namespace: instance.namespace.clone(),
            name: instance.name.clone(),
        },
        node: format!("{}-{}", instance.name, place.ordinal),
        slots: instance.slots,
        shards: None,
        kafka: isthmus_config::Kafka {
            bootstrap_servers: place.bootstrap_servers.clone(),
            topic_prefix: instance.topic_prefix.clone(),
        },
        listeners: isthmus_config::Listeners {
            mqtt: instance.mqtt.map(|port| TcpListener {
                address: place.address(port),
            }),
            ws: instance.ws.as_ref().map(|(port, path)| WsListener {
                address: place.address(*port),
                path: path.clone(),
            }),
        },
        peers: None,
        monitoring: isthmus_config::Monitoring {
            address: place.address(instance.monitoring),
        },
        session: instance.session.clone(),
        limits: instance.limits.clone(),
        authentication: instance.authentication.clone(),
    }
}

/// The internal and the system topics.
#[must_use]
pub fn topics(instance: &ValidInstance) -> Vec<TopicSpec> {
    let names = names(instance);
    let internal = InternalSettings {
        slots: instance.slots,
        replication_factor: instance.internal_replication_factor,
        max_expiry: Duration::from_secs(instance.session.max_expiry_seconds.into()),
        max_packet_size: instance.limits.max_packet_size,
    };
    let system = SystemSettings {
        partitions: instance.system_partitions,
        replication_factor: instance.system_replication_factor,
        retention: instance.system_retention,
    };
    let mut topics = internal_topics(&names, &internal);
    topics.extend(system_topics(&names, &system));
    topics
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::{MqttInstance, validate};
    use serde_json::json;

    #[allow(clippy::needless_pass_by_value, reason = "called with json!")]
    fn instance(spec: serde_json::Value) -> ValidInstance {
        let resource: MqttInstance = serde_json::from_value(json!({
            "apiVersion": "mqtt.isthmus.dev/v1alpha1", "kind": "MqttInstance",
            "metadata": {"name": "plant", "namespace": "iot"}, "spec": spec,
        }))
        .unwrap();
        validate(&resource, None).unwrap()
    }

    fn place() -> Placement {
        Placement {
            bind: [127, 0, 0, 1].into(),
            port_offset: 1000,
            bootstrap_servers: "127.0.0.1:10092".to_owned(),
            ordinal: 0,
        }
    }

    #[test]
    fn the_broker_is_told_everything_and_listens_where_it_is_placed() {
        let instance = instance(json!({
            "kafka": {"bootstrapServers": "kafka:9092", "topicPrefix": "eu."},
            "listeners": {"ws": {"enabled": true}},
            "session": {"expiry": "90s"},
            "authentication": {"allowAnonymous": true, "anonymousAcl": [{"topic": "a/#"}]},
        }));
        let config = broker_config(&instance, &place());
        assert_eq!(
            serde_json::to_value(&config).unwrap(),
            json!({
                "instance": {"namespace": "iot", "name": "plant"},
                "node": "plant-0",
                "slots": 32,
                "kafka": {"bootstrapServers": "127.0.0.1:10092", "topicPrefix": "eu."},
                "listeners": {
                    "mqtt": {"address": "127.0.0.1:2883"},
                    "ws": {"address": "127.0.0.1:9083", "path": "/mqtt"},
                },
                "monitoring": {"address": "127.0.0.1:10090"},
                "session": {
                    "expirySeconds": 90, "maxExpirySeconds": 86400,
                    "maxQueuedMessages": 1000, "maxQueuedBytes": 67_108_864,
                },
                "limits": {
                    "maxPacketSize": 2_097_152, "maxTopicLength": 65535, "maxTopicLevels": 128,
                    "maxClientIdLength": 65535, "lengthsInCharacters": false,
                    "maxSubscriptionsPerClient": 1000, "maxInflight": 64, "maxConnections": 100_000,
                    "maxRetainedMessages": 100_000, "maxRetainedBytes": 268_435_456,
                    "maxOutgoingBytesPerClient": 4_194_304, "maxKafkaBacklogBytes": 67_108_864,
                },
                "authentication": {
                    "allowAnonymous": true,
                    "anonymousAcl": [{"topic": "a/#", "action": "pubsub"}],
                },
            })
        );
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<BrokerConfig>(&text).unwrap(), config);
    }

    #[test]
    fn every_topic_of_the_architecture_is_made() {
        let instance = instance(json!({
            "slots": 4,
            "kafka": {
                "bootstrapServers": "kafka:9092",
                "topicPrefix": "eu.",
                "systemTopics": {"partitions": 3, "replicationFactor": 1, "retention": "1h"},
                "internalTopics": {"replicationFactor": 1},
            },
        }));
        let topics = topics(&instance);
        let shapes: Vec<_> = topics
            .iter()
            .map(|t| {
                (
                    t.name.as_str(),
                    t.partitions.unwrap(),
                    t.replication_factor.unwrap(),
                )
            })
            .collect();
        assert_eq!(
            shapes,
            [
                ("__mqtt.iot.plant.routes", 4, 1),
                ("__mqtt.iot.plant.state", 4, 1),
                ("__mqtt.iot.plant.inbox", 4, 1),
                ("__mqtt.iot.plant.retained", 8, 1),
                ("__mqtt.iot.plant.directory", 1, 1),
                ("__mqtt.iot.plant.trace", 8, 1),
                ("__mqtt.iot.plant.usage", 1, 1),
                ("eu.mq2mqtt", 3, 1),
                ("eu.mq2mqtt-dead-letter", 3, 1),
                ("eu.mqtt-device-connect", 3, 1),
                ("eu.mqtt-device-disconnect", 3, 1),
            ]
        );
        assert_eq!(topics[7].config["retention.ms"], "3600000");
        assert_eq!(topics[2].config["retention.ms"], "90000000");
    }
}
