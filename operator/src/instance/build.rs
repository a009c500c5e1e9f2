//! What a valid instance is made of: the broker's configuration and the Kafka topics. Pure, so
//! that local mode and the controllers build the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use isthmus_config::{BrokerConfig, InstanceRef, Peers, TcpListener, WsListener};
use isthmus_kafka::names::Names;
use isthmus_kafka::provision::{
    InternalSettings, SystemSettings, TopicSpec, internal_topics, system_topics,
};

use super::ValidInstance;

/// The port where the brokers of an instance reach each other, unless another one is asked for.
pub const PEERS_PORT: u16 = 7883;

/// Between the ports of one broker and those of the next on the same machine.
pub const PORT_STEP: u16 = 10;

/// Where the broker processes run that share one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The address that every listener binds.
    pub bind: IpAddr,
    /// Added to every port.
    pub port_offset: u16,
    /// Where the first broker listens for the others.
    pub peers_port: u16,
    /// Kafka as these processes reach it.
    pub bootstrap_servers: String,
    /// The certificate and the key, in PEM, of the instance's authority.
    pub authority: Authority,
}

/// The files of the authority that the certificates between the brokers of an instance come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authority {
    /// Its certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Placement {
    /// A port as the broker with this number binds it; what does not fit is found before.
    #[must_use]
    pub fn port(&self, written: u16, broker: u16) -> u16 {
        u16::try_from(self.shifted(written, broker)).unwrap_or(u16::MAX)
    }

    /// The same, where it may not fit.
    #[must_use]
    pub fn shifted(&self, written: u16, broker: u16) -> u32 {
        u32::from(written) + u32::from(self.port_offset) + u32::from(PORT_STEP) * u32::from(broker)
    }

    fn address(&self, port: u16, broker: u16) -> String {
        SocketAddr::new(self.bind, self.port(port, broker)).to_string()
    }

    fn peers(&self, broker: u16) -> Peers {
        // All are on this machine: where any address is bound, this one leads to it.
        let reached = match self.bind {
            IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            other => other,
        };
        let port = self.port(self.peers_port, broker);
        Peers {
            address: SocketAddr::new(self.bind, port).to_string(),
            advertised: SocketAddr::new(reached, port).to_string(),
            ca_certificate: self.authority.certificate.clone(),
            ca_key: self.authority.key.clone(),
        }
    }
}

/// The names of the instance's Kafka topics.
#[must_use]
pub fn names(instance: &ValidInstance) -> Names {
    Names::new(&instance.topic_prefix, &instance.namespace, &instance.name)
}

/// The configuration of every broker process, by its number.
#[must_use]
pub fn broker_configs(instance: &ValidInstance, place: &Placement) -> Vec<BrokerConfig> {
    (0..instance.replicas)
        .map(|broker| broker_config(instance, place, broker))
        .collect()
}

/// The configuration of one broker process.
#[must_use]
pub fn broker_config(instance: &ValidInstance, place: &Placement, broker: u16) -> BrokerConfig {
    BrokerConfig {
        instance: InstanceRef {
            namespace: instance.namespace.clone(),
            name: instance.name.clone(),
        },
        node: format!("{}-{broker}", instance.name),
        slots: instance.slots,
        shards: None,
        kafka: isthmus_config::Kafka {
            bootstrap_servers: place.bootstrap_servers.clone(),
            topic_prefix: instance.topic_prefix.clone(),
            tls: None,
            sasl: None,
        },
        listeners: isthmus_config::Listeners {
            mqtt: instance.mqtt.map(|port| TcpListener {
                address: place.address(port, broker),
            }),
            ws: instance.ws.as_ref().map(|(port, path)| WsListener {
                address: place.address(*port, broker),
                path: path.clone(),
            }),
        },
        peers: Some(place.peers(broker)),
        monitoring: isthmus_config::Monitoring {
            address: place.address(instance.monitoring, broker),
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
            peers_port: PEERS_PORT,
            bootstrap_servers: "127.0.0.1:10092".to_owned(),
            authority: Authority {
                certificate: "/data/ca.pem".into(),
                key: "/data/ca-key.pem".into(),
            },
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
        let config = broker_config(&instance, &place(), 0);
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
                "peers": {
                    "address": "127.0.0.1:8883", "advertised": "127.0.0.1:8883",
                    "caCertificate": "/data/ca.pem", "caKey": "/data/ca-key.pem",
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
    fn each_broker_has_a_name_and_ports_of_its_own() {
        let instance = instance(json!({
            "replicas": 3,
            "kafka": {"bootstrapServers": "kafka:9092"},
            "listeners": {"ws": {"enabled": true}},
        }));
        let bind = Ipv4Addr::UNSPECIFIED.into();
        let configs = broker_configs(&instance, &Placement { bind, ..place() });
        assert_eq!(configs.len(), 3);
        let last = serde_json::to_value(&configs[2]).unwrap();
        let at = |path: &str| last.pointer(path).unwrap().as_str().unwrap().to_owned();
        assert_eq!(at("/node"), "plant-2");
        assert_eq!(at("/listeners/mqtt/address"), "0.0.0.0:2903");
        assert_eq!(at("/listeners/ws/address"), "0.0.0.0:9103");
        assert_eq!(at("/monitoring/address"), "0.0.0.0:10110");
        assert_eq!(at("/peers/address"), "0.0.0.0:8903");
        assert_eq!(at("/peers/advertised"), "127.0.0.1:8903");
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
