//! Where clients come in: sockets bound, connections accepted within the pod's limits.
//!
//! An accepted socket is not this runtime's: it goes to a shard in turn, which makes the handshake
//! and, when the client's slot is its own, keeps it without a further move.

mod gate;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::handshake::Incoming;
pub use crate::telemetry::labels::ListenerKind;
use crate::telemetry::{Metrics, RefusalReason};
pub use gate::{ConnectionGuard, Gate};

/// Connections that the system holds until they are accepted.
const BACKLOG: i32 = 1024;
/// How long nothing is accepted when the system has no socket to give.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(200);
/// What repeats is logged once in so long.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A listener cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{field}: cannot listen on {address:?}: {source}")]
pub struct BindError {
    /// The configuration's field.
    pub field: &'static str,
    /// What it says.
    pub address: String,
    /// Why not.
    #[source]
    pub source: std::io::Error,
}

/// A bound socket of one kind.
#[derive(Debug)]
pub struct Listener {
    kind: ListenerKind,
    local_addr: SocketAddr,
    socket: TcpListener,
}

impl Listener {
    /// What clients speak here.
    #[must_use]
    pub const fn kind(&self) -> ListenerKind {
        self.kind
    }

    /// The address with the port that was taken.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

/// Binds every listener that is enabled. Needs a runtime.
///
/// # Errors
/// All that could not be bound.
pub fn bind_all(listeners: &isthmus_config::Listeners) -> Result<Vec<Listener>, Vec<BindError>> {
    let mqtt = listeners
        .mqtt
        .as_ref()
        .map(|l| (ListenerKind::Mqtt, &l.address));
    let ws = listeners
        .ws
        .as_ref()
        .map(|l| (ListenerKind::Ws, &l.address));
    let mut bound = Vec::new();
    let mut faults = Vec::new();
    for (kind, address) in mqtt.into_iter().chain(ws) {
        let field = match kind {
            ListenerKind::Mqtt => "listeners.mqtt.address",
            ListenerKind::Ws => "listeners.ws.address",
        };
        match bind(field, address) {
            Ok((socket, local_addr)) => bound.push(Listener {
                kind,
                local_addr,
                socket,
            }),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        Ok(bound)
    } else {
        Err(faults)
    }
}

/// Binds one socket, `field` being where the address was configured. Needs a runtime.
///
/// # Errors
/// The address is not `ip:port`, or the system refuses it.
pub fn bind(field: &'static str, address: &str) -> Result<(TcpListener, SocketAddr), BindError> {
    let listen = || {
        let parsed: SocketAddr = address.parse().map_err(|_| {
            let expected = "expected ip:port, for example 0.0.0.0:1883 or [::]:1883";
            std::io::Error::new(std::io::ErrorKind::InvalidInput, expected)
        })?;
        let domain = Domain::for_address(parsed);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if parsed.is_ipv6() {
            // [::] takes IPv4 as well, whatever the system's default is.
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&parsed.into())?;
        socket.listen(BACKLOG)?;
        let socket = TcpListener::from_std(socket.into())?;
        let local_addr = socket.local_addr()?;
        Ok((socket, local_addr))
    };
    listen().map_err(|source| BindError {
        field,
        address: address.to_owned(),
        source,
    })
}

/// Accepts until `shutdown`; `door` is given every connection within the limits.
pub async fn run(
    listener: Listener,
    gate: Arc<Gate>,
    door: impl Fn(Incoming),
    shutdown: impl Future<Output = ()>,
) {
    let Listener {
        kind,
        local_addr,
        socket,
    } = listener;
    tracing::info!(listener = kind.name(), address = %local_addr, "listening");
    let mut errors = Throttle::default();
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            gate.ready().await;
            socket.accept().await
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Some(incoming) = admit(stream, peer, kind, &gate, &mut errors) {
                    door(incoming);
                }
            }
            Err(error) => {
                gate.refused(RefusalReason::AcceptFailed);
                if errors.is_due() {
                    tracing::warn!(listener = kind.name(), %error, "cannot accept a connection");
                }
                if !is_about_the_connection(&error) {
                    tokio::select! {
                        () = tokio::time::sleep(EXHAUSTED_PAUSE) => {}
                        () = &mut shutdown => return,
                    }
                }
            }
        }
    }
}

fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    listener: ListenerKind,
    gate: &Arc<Gate>,
    errors: &mut Throttle,
) -> Option<Incoming> {
    let Some(guard) = gate.admit(listener) else {
        if errors.is_due() {
            let limit = gate.max_connections();
            tracing::warn!(%peer, limit, "connection refused: limits.maxConnections is reached");
        }
        return None;
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "connection without TCP_NODELAY");
    }
    match stream.into_std() {
        Ok(stream) => Some(Incoming {
            stream,
            peer,
            listener,
            guard,
        }),
        Err(error) => {
            tracing::debug!(%peer, %error, "connection refused: its socket cannot be used");
            None
        }
    }
}

/// Errors of one connection, after which the next may be fine (accept(2)); after all others
/// (EMFILE, ENFILE, ENOMEM) an immediate retry would spin.
fn is_about_the_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::HostUnreachable
            | ErrorKind::TimedOut
    )
}

/// Lets one log line pass in [`LOG_INTERVAL`].
#[derive(Default)]
struct Throttle(Option<Instant>);

impl Throttle {
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = self
            .0
            .is_none_or(|last| now.duration_since(last) >= LOG_INTERVAL);
        if due {
            self.0 = Some(now);
        }
        due
    }
}

/// The gate of a pod's listeners, from its limits.
#[must_use]
pub fn gate(limits: &isthmus_config::Limits, metrics: &Arc<Metrics>) -> Arc<Gate> {
    Arc::new(Gate::new(
        limits.max_connections,
        limits.connect_rate,
        Arc::clone(metrics),
    ))
}

#[cfg(test)]
mod tests;
