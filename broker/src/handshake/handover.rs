//! What goes from a handshake to the session's shard.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Refusal;
use crate::listener::{ConnectionGuard, ListenerKind};
use crate::websocket::WebSocketPipe;
use tokio::io::{AsyncRead, AsyncWrite};

/// A client that may have its session.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub transport: Transport,
    /// What was read: the whole CONNECT packet, then whatever the client sent after it.
    pub buffered: Vec<u8>,
    /// The ClientId, the assigned one where it was empty.
    pub client_id: String,
    /// The ClientId was assigned here.
    pub assigned: bool,
    /// The user that was authenticated.
    pub username: Option<Arc<str>>,
    /// No user name, and that is allowed.
    pub anonymous: bool,
    /// The client's address.
    pub peer: SocketAddr,
    /// Where it came in.
    pub listener: ListenerKind,
    /// When its socket was accepted.
    pub received_at: Instant,
    /// Its place among the pod's connections: keep it as long as the connection. None: it is
    /// connected to another pod.
    pub guard: Option<ConnectionGuard>,
}

/// How a connection is read and written.
#[derive(Debug)]
pub enum Transport {
    /// A socket of the runtime that made the handshake.
    Tcp(tokio::net::TcpStream),
    /// Nonblocking, on its way to another runtime.
    Detached(std::net::TcpStream),
    /// Reads and writes MQTT bytes.
    WebSocket(WebSocketPipe),
    /// A client of another pod.
    Pipe(Box<dyn Pipe>),
}

/// Something that is read and written like a socket, on any runtime.
pub trait Pipe: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Pipe for T {}

impl std::fmt::Debug for dyn Pipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pipe")
    }
}

impl Transport {
    /// The same, for another runtime.
    ///
    /// # Errors
    /// When the socket cannot be taken from its runtime.
    pub fn detach(self) -> std::io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Detached(stream.into_std()?),
            other => other,
        })
    }
}

/// A client that was refused.
#[derive(Debug)]
pub struct Refused<'a> {
    /// The ClientId, as far as it was read; may be empty.
    pub client_id: &'a str,
    /// The user name that was given.
    pub username: Option<&'a str>,
    /// The client's address.
    pub peer: SocketAddr,
    /// Where it came in.
    pub listener: ListenerKind,
    /// Why.
    pub why: &'a Refusal,
}

/// Takes the clients that come through. Called on the runtime of the handshake; must not block.
pub trait Handover: Send + Sync + 'static {
    /// A client that may have its session.
    fn accepted(&self, accepted: Accepted);
    /// A client whose CONNECT was read and refused.
    fn refused(&self, _refused: &Refused<'_>) {}
}

impl<F: Fn(Accepted) + Send + Sync + 'static> Handover for F {
    fn accepted(&self, accepted: Accepted) {
        self(accepted);
    }
}
