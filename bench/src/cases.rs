//! What is measured, and what is aimed at.

use crate::load::Flow;

/// A figure that a case is to reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    /// Messages a second at least.
    Rate(f64),
    /// Microseconds of CPU a message at most.
    Cpu(f64),
    /// More messages a second than, or as many as, rumqttd.
    RateOfRumqttd,
    /// A 99th percentile until delivery below mosquitto's.
    TailOfMosquitto,
    /// The 99th percentile until the acknowledgement, ms at most.
    Acknowledged(f64),
    /// The 99th percentile until delivery, ms at most.
    Delivered(f64),
}

/// One flow with its name.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) flow: Flow,
    /// Only ours: it is about Kafka.
    pub(crate) kafka: bool,
    pub(crate) aims: &'static [Aim],
}

const PAIR: Flow = Flow {
    publishers: 1,
    subscribers: 1,
    topic: "bench/{}",
    filter: "bench/{}",
    qos: 0,
    payload: 64,
    persistent: false,
    window: 1_000,
    pace: None,
    relaxed: false,
};

const UPLINK: Flow = Flow {
    publishers: 100,
    subscribers: 0,
    topic: "up/{}",
    qos: 1,
    payload: 1024,
    window: 100,
    relaxed: true,
    ..PAIR
};

/// Every flow, in the order of the table.
pub(crate) fn all() -> Vec<Case> {
    let case = |name, flow| Case {
        name,
        flow,
        kafka: false,
        aims: &[],
    };
    let paced = |qos| Flow {
        publishers: 10,
        subscribers: 10,
        qos,
        pace: Some(5_000.0),
        ..PAIR
    };
    let durable = Flow {
        publishers: 100,
        subscribers: 100,
        topic: "to/{}",
        filter: "to/{}",
        qos: 1,
        persistent: true,
        relaxed: true,
        window: 64,
        ..PAIR
    };
    vec![
        case("QoS 0, one to one", PAIR),
        Case {
            aims: &[Aim::Cpu(1.5), Aim::RateOfRumqttd],
            ..case("QoS 1, one to one", Flow { qos: 1, ..PAIR })
        },
        case("QoS 2, one to one", Flow { qos: 2, ..PAIR }),
        case(
            "QoS 1, 50 pairs",
            Flow {
                publishers: 50,
                subscribers: 50,
                qos: 1,
                window: 100,
                ..PAIR
            },
        ),
        case(
            "QoS 1, fan-in 100 to 1",
            Flow {
                publishers: 100,
                topic: "bench/all",
                filter: "bench/all",
                qos: 1,
                window: 20,
                ..PAIR
            },
        ),
        Case {
            aims: &[Aim::RateOfRumqttd],
            ..case(
                "QoS 0, fan-out 1 to 100",
                Flow {
                    subscribers: 100,
                    topic: "bench/all",
                    filter: "bench/all",
                    window: 200,
                    ..PAIR
                },
            )
        },
        case("QoS 0, 5,000/s", paced(0)),
        Case {
            aims: &[Aim::TailOfMosquitto],
            ..case("QoS 1, 5,000/s", paced(1))
        },
        // Those at a rate first: Kafka is busy for a while after the others.
        Case {
            kafka: true,
            aims: &[Aim::Rate(5_000.0), Aim::Acknowledged(150.0)],
            ..case(
                "Kafka, 1 KB, QoS 2, 5,200/s",
                Flow {
                    qos: 2,
                    pace: Some(5_200.0),
                    ..UPLINK
                },
            )
        },
        Case {
            kafka: true,
            aims: &[Aim::Rate(18_000.0), Aim::Delivered(20.0)],
            ..case(
                "durable device to device, 18,500/s",
                Flow {
                    pace: Some(18_500.0),
                    ..durable.clone()
                },
            )
        },
        Case {
            kafka: true,
            aims: &[Aim::Rate(12_500.0), Aim::Acknowledged(15.0)],
            ..case(
                "Kafka, 1 KB, QoS 1, 13,000/s",
                Flow {
                    pace: Some(13_000.0),
                    ..UPLINK
                },
            )
        },
        Case {
            kafka: true,
            ..case("Kafka, 1 KB, QoS 1, at most", UPLINK)
        },
        Case {
            kafka: true,
            ..case("durable device to device, at most", durable)
        },
    ]
}
