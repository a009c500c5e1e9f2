//! Ports: every one that will be bound is tried before anything starts.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};

use super::kafka;
use crate::instance::ValidInstance;
use crate::instance::build::Placement;

/// A port that will be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What binds it and where it is set.
    pub what: &'static str,
    /// The port as written.
    pub written: u16,
    /// The number of the broker that binds it; absent: another program does.
    pub broker: Option<u16>,
    /// The port, where there were as many as needed.
    pub port: u32,
    /// The address.
    pub bind: std::net::IpAddr,
}

/// The ports that the brokers bind.
#[must_use]
pub fn of_brokers(instance: &ValidInstance, place: &Placement) -> Vec<Wanted> {
    let mut written = Vec::new();
    written.extend(instance.mqtt.map(|port| ("spec.listeners.mqtt.port", port)));
    let ws = instance.ws.as_ref();
    written.extend(ws.map(|(port, _)| ("spec.listeners.ws.port", *port)));
    written.push(("spec.monitoring.port", instance.monitoring));
    written.push(("--peers-port", place.peers_port));
    let of = |broker| {
        written.iter().map(move |(what, written)| Wanted {
            what,
            written: *written,
            broker: Some(broker),
            port: place.shifted(*written, broker),
            bind: place.bind,
        })
    };
    (0..instance.replicas).flat_map(of).collect()
}

/// The ports of our own Kafka.
#[must_use]
pub fn of_kafka(place: &Placement) -> Vec<Wanted> {
    let wanted = |what, written| Wanted {
        what,
        written,
        broker: None,
        port: place.shifted(written, 0),
        bind: [127, 0, 0, 1].into(),
    };
    vec![
        wanted("Kafka", kafka::PORT),
        wanted("Kafka's controller", kafka::CONTROLLER_PORT),
    ]
}

impl Wanted {
    /// The address as configurations write it.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        let port = u16::try_from(self.port).ok()?;
        Some(SocketAddr::new(self.bind, port))
    }

    /// The field, and of which broker where there are several.
    fn name(&self) -> String {
        match self.broker {
            Some(broker) if broker > 0 => format!("{} of broker {broker}", self.what),
            _ => self.what.to_owned(),
        }
    }

    fn fault(&self, offset: u16) -> Option<String> {
        let Some(address) = self.address() else {
            let Wanted { what, written, .. } = self;
            return Some(match self.broker {
                Some(broker) if broker > 0 => format!(
                    "{}: {written} + 10 x {broker} + PORT_OFFSET {offset} is above 65535: \
                     use a smaller port or offset, or fewer spec.replicas",
                    self.name()
                ),
                _ => format!(
                    "{what}: {written} + PORT_OFFSET {offset} is above 65535: use a smaller offset"
                ),
            });
        };
        let (port, name) = (address.port(), self.name());
        let error = TcpListener::bind(address).err()?;
        Some(if error.kind() == std::io::ErrorKind::AddrInUse {
            let more = u32::from(offset) + 1000;
            format!(
                "port {port} ({name}) is taken: stop what uses it, or run: PORT_OFFSET={more} make run"
            )
        } else {
            format!("port {port} ({name}) cannot be used: {error}")
        })
    }
}

/// Which ports are wanted twice.
#[must_use]
pub fn doubles(ports: &[Wanted]) -> Vec<String> {
    let mut first: BTreeMap<u32, &Wanted> = BTreeMap::new();
    let mut faults = Vec::new();
    for port in ports {
        match first.get(&port.port) {
            None => {
                first.insert(port.port, port);
            }
            Some(other) => faults.push(format!(
                "port {} is wanted twice, for {} and {}: change one of them",
                port.port,
                other.name(),
                port.name()
            )),
        }
    }
    faults
}

/// Which ports cannot be bound, each with the way out.
#[must_use]
pub fn taken(ports: &[Wanted], offset: u16) -> Vec<String> {
    ports.iter().filter_map(|port| port.fault(offset)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(what: &'static str, written: u16, offset: u16, broker: u16) -> Wanted {
        Wanted {
            what,
            written,
            broker: Some(broker),
            port: u32::from(written) + u32::from(offset) + 10 * u32::from(broker),
            bind: [127, 0, 0, 1].into(),
        }
    }

    #[test]
    fn a_taken_port_is_named_with_its_field_and_the_way_out() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        assert_eq!(
            taken(&[wanted("spec.monitoring.port", port, 0, 0)], 0),
            [format!(
                "port {port} (spec.monitoring.port) is taken: stop what uses it, or run: PORT_OFFSET=1000 make run"
            )]
        );
        let shifted = taken(&[wanted("spec.monitoring.port", port - 21, 1, 2)], 1);
        let start = format!("port {port} (spec.monitoring.port of broker 2) is taken: ");
        assert!(shifted[0].starts_with(&start), "{shifted:?}");
        // One that was let go may be somebody else's at once.
        let free = (0..20).any(|_| {
            let held = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = held.local_addr().unwrap().port();
            drop(held);
            taken(&[wanted("spec.monitoring.port", port, 0, 0)], 0).is_empty()
        });
        assert!(free);
    }

    #[test]
    fn ports_that_do_not_fit_and_ports_wanted_twice_are_refused() {
        assert_eq!(
            taken(&[wanted("a", 65000, 1000, 0)], 1000),
            ["a: 65000 + PORT_OFFSET 1000 is above 65535: use a smaller offset"]
        );
        assert_eq!(
            taken(&[wanted("a", 65530, 0, 1)], 0),
            [
                "a of broker 1: 65530 + 10 x 1 + PORT_OFFSET 0 is above 65535: use a smaller port or offset, or fewer spec.replicas"
            ]
        );
        assert_eq!(
            doubles(&[wanted("a", 47811, 0, 0), wanted("b", 47811, 0, 0)]),
            ["port 47811 is wanted twice, for a and b: change one of them"]
        );
        assert_eq!(
            doubles(&[
                wanted("a", 47811, 0, 0),
                wanted("b", 47821, 0, 0),
                wanted("a", 47811, 0, 1)
            ]),
            ["port 47821 is wanted twice, for b and a of broker 1: change one of them"]
        );
    }
}
