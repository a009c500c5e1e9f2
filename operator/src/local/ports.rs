//! Ports: every one that will be bound is tried before anything starts.

use std::net::{IpAddr, SocketAddr, TcpListener};

use crate::instance::ValidInstance;
use crate::instance::build::Placement;

/// A port that will be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What binds it and where it is set.
    pub what: &'static str,
    /// The port without the offset.
    pub written: u16,
    /// The address.
    pub bind: IpAddr,
}

/// The ports that a broker binds.
#[must_use]
pub fn of_broker(instance: &ValidInstance, bind: IpAddr) -> Vec<Wanted> {
    let wanted = |what, written| Wanted {
        what,
        written,
        bind,
    };
    let mut ports = Vec::new();
    ports.extend(
        instance
            .mqtt
            .map(|port| wanted("spec.listeners.mqtt.port", port)),
    );
    ports.extend(
        instance
            .ws
            .as_ref()
            .map(|(port, _)| wanted("spec.listeners.ws.port", *port)),
    );
    ports.push(wanted("spec.monitoring.port", instance.monitoring));
    ports
}

/// What is wrong with the ports, each with the way out.
#[must_use]
pub fn check(ports: &[Wanted], offset: u16) -> Vec<String> {
    let fault = |port: &Wanted| {
        let Some(shifted) = port.written.checked_add(offset) else {
            return Some(format!(
                "{}: {} + PORT_OFFSET {offset} is above 65535: use a smaller offset",
                port.what, port.written
            ));
        };
        let error = TcpListener::bind(SocketAddr::new(port.bind, shifted)).err()?;
        Some(if error.kind() == std::io::ErrorKind::AddrInUse {
            let more = u32::from(offset) + 1000;
            format!(
                "port {shifted} ({}) is taken: stop what uses it, or run: PORT_OFFSET={more} make run",
                port.what
            )
        } else {
            format!("port {shifted} ({}) cannot be used: {error}", port.what)
        })
    };
    let mut faults: Vec<String> = ports.iter().filter_map(fault).collect();
    for (at, port) in ports.iter().enumerate() {
        if let Some(other) = ports
            .iter()
            .take(at)
            .find(|other| other.written == port.written)
        {
            faults.push(format!(
                "port {} is wanted twice, for {} and {}: change one of them",
                Placement {
                    bind: port.bind,
                    port_offset: offset,
                    bootstrap_servers: String::new(),
                    ordinal: 0
                }
                .port(port.written),
                other.what,
                port.what
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(what: &'static str, written: u16) -> Wanted {
        Wanted {
            what,
            written,
            bind: [127, 0, 0, 1].into(),
        }
    }

    #[test]
    fn a_taken_port_is_named_with_its_field_and_the_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_eq!(
            check(&[wanted("spec.monitoring.port", port)], 0),
            [format!(
                "port {port} (spec.monitoring.port) is taken: stop what uses it, or run: PORT_OFFSET=1000 make run"
            )]
        );
        let shifted = check(&[wanted("spec.monitoring.port", port - 1)], 1);
        assert!(shifted[0].contains(&format!("port {port} ")), "{shifted:?}");
        drop(taken);
        assert!(check(&[wanted("spec.monitoring.port", port)], 0).is_empty());
    }

    #[test]
    fn an_offset_too_large_and_a_port_wanted_twice_are_refused() {
        let faults = check(&[wanted("a", 65000)], 1000);
        assert_eq!(
            faults,
            ["a: 65000 + PORT_OFFSET 1000 is above 65535: use a smaller offset"]
        );
        let faults = check(&[wanted("a", 47811), wanted("b", 47811)], 0);
        assert_eq!(
            faults,
            ["port 47811 is wanted twice, for a and b: change one of them"]
        );
    }
}
