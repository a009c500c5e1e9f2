//! What the tests of listener, handshake and WebSocket share.

use isthmus_config::{
    Authentication, BrokerConfig, InstanceRef, Kafka, Limits, Listeners, Monitoring, Session,
    TcpListener, WsListener,
};
use isthmus_mqtt::{Connect, Packet, Version, encode};

/// MQTT 3.1.1, clean, ClientId `device`.
pub(crate) const CONNECT: &[u8] = b"\x10\x12\0\x04MQTT\x04\x02\0\x3c\0\x06device";

pub(crate) fn config() -> BrokerConfig {
    let any = "127.0.0.1:0".to_owned();
    BrokerConfig {
        instance: InstanceRef {
            namespace: "n".into(),
            name: "i".into(),
        },
        node: "i-0".into(),
        slots: 32,
        shards: None,
        kafka: Kafka {
            bootstrap_servers: "localhost:9092".into(),
            topic_prefix: String::new(),
            tls: None,
            sasl: None,
        },
        listeners: Listeners {
            mqtt: Some(TcpListener {
                address: any.clone(),
            }),
            ws: Some(WsListener {
                address: any.clone(),
                path: "/mqtt".into(),
            }),
        },
        peers: None,
        monitoring: Monitoring { address: any },
        session: Session {
            expiry_seconds: 7200,
            max_expiry_seconds: 86_400,
            max_queued_messages: 1000,
            max_queued_bytes: 1 << 20,
        },
        limits: Limits {
            max_packet_size: 64 * 1024,
            max_payload_size: None,
            max_topic_length: 1024,
            max_topic_levels: 64,
            max_client_id_length: 64,
            lengths_in_characters: false,
            max_subscriptions_per_client: 100,
            max_inflight: 64,
            max_connections: 100,
            connect_rate: None,
            publish_rate_per_client: None,
            max_keep_alive_seconds: None,
            max_retained_messages: 1000,
            max_retained_bytes: 1 << 20,
            max_outgoing_bytes_per_client: 1 << 20,
            max_kafka_backlog_bytes: 1 << 20,
        },
        authentication: Authentication::default(),
    }
}

pub(crate) fn connect(
    level: u8,
    client_id: &str,
    username: Option<&str>,
    password: Option<&str>,
) -> Vec<u8> {
    let version = match level {
        3 => Version::V31,
        4 => Version::V311,
        _ => Version::V5,
    };
    let connect = Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive: 60,
        client_id,
        username,
        password: password.map(str::as_bytes),
        will: None,
        session_expiry: None,
        receive_maximum: None,
        maximum_packet_size: None,
        topic_alias_maximum: 0,
        request_response_information: false,
        request_problem_information: true,
        user_properties: Default::default(),
        authentication_method: None,
        authentication_data: None,
    };
    let mut bytes = vec![];
    encode(&Packet::Connect(connect), version, &mut bytes).unwrap();
    bytes
}

pub(crate) fn upgrade_request(path: &str, subprotocol: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    )
}

/// A client's frame of fewer than 126 bytes; its mask is zero.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}
