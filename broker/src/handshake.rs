//! From an accepted socket to a CONNECT that may have a session: for WebSocket the upgrade first,
//! then one whole CONNECT read, checked and authenticated, then handed over.
//!
//! A client has [`READ_LIMIT`] for all that it sends here, and the wait for its password's turn
//! after that. Bytes are bounded per client, and those of large CONNECT packets per pod. CONNACK
//! with success is the session's to send, a refusal is sent here.

mod connect;
mod handover;
mod refusal;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use isthmus_config::BrokerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::timeout;

use crate::auth::Authenticator;
use crate::listener::{ConnectionGuard, ListenerKind};
use crate::telemetry::Metrics;
use crate::websocket;
use connect::{Checks, Head};
pub use handover::{Accepted, Handover, Pipe, Refused, Transport};
pub use refusal::Refusal;

/// For the HTTP upgrade and the CONNECT together.
const READ_LIMIT: Duration = Duration::from_secs(10);
/// For writing a refusal and seeing the client close.
const GOODBYE: Duration = Duration::from_secs(2);
/// A CONNECT up to this size costs no share of [`LARGE_TOTAL`].
const SMALL: usize = 4 * 1024;
/// Bytes of CONNECT packets above [`SMALL`] that are read at the same time in this pod.
const LARGE_TOTAL: usize = 64 * 1024 * 1024;
/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// A socket as the listener accepted it.
#[derive(Debug)]
pub struct Incoming {
    /// The socket, nonblocking and no runtime's yet.
    pub stream: std::net::TcpStream,
    /// The client's address.
    pub peer: SocketAddr,
    /// Where it came in.
    pub listener: ListenerKind,
    /// Its place among the pod's connections.
    pub guard: ConnectionGuard,
}

/// What all handshakes share.
pub struct Handshake {
    checks: Checks,
    websocket_path: String,
    max_packet_size: usize,
    read_limit: Duration,
    large: Arc<Semaphore>,
    authenticator: Arc<Authenticator>,
    metrics: Arc<Metrics>,
    handover: Box<dyn Handover>,
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake")
            .field("checks", &self.checks)
            .finish_non_exhaustive()
    }
}

/// A CONNECT that passed.
struct Passed {
    buffered: Vec<u8>,
    client_id: String,
    assigned: bool,
    username: Option<Arc<str>>,
}

/// A refusal and how to say it to the client.
struct Failure {
    why: Refusal,
    connack: Option<Vec<u8>>,
}

impl Handshake {
    /// With the limits of this configuration.
    #[must_use]
    pub fn new(
        config: &BrokerConfig,
        authenticator: Arc<Authenticator>,
        metrics: Arc<Metrics>,
        large: Arc<Semaphore>,
        handover: impl Handover,
    ) -> Arc<Self> {
        let websocket_path = config.listeners.ws.as_ref().map_or("/mqtt", |ws| &ws.path);
        Arc::new(Self {
            checks: Checks::new(&config.limits),
            websocket_path: websocket_path.to_owned(),
            max_packet_size: usize::try_from(config.limits.max_packet_size).unwrap_or(usize::MAX),
            read_limit: READ_LIMIT,
            large,
            authenticator,
            metrics,
            handover: Box::new(handover),
        })
    }

    /// The bytes that large CONNECT packets share in this pod.
    #[must_use]
    pub fn large_packets() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(LARGE_TOTAL))
    }

    /// Brings one connection through, or refuses and closes it. A WebSocket connection is served
    /// here for as long as it lives. `closing` ends the handshake, not what was handed over.
    pub async fn serve(self: Arc<Self>, incoming: Incoming, closing: watch::Receiver<bool>) {
        let (peer, listener) = (incoming.peer, incoming.listener);
        let outcome = match listener {
            ListenerKind::Mqtt => self.tcp(incoming, closing).await,
            ListenerKind::Ws => self.web_socket(incoming, closing).await,
        };
        if let Err(why) = outcome {
            self.metrics.connections_refused.inc(why.label());
            tracing::debug!(%peer, listener = listener.name(), %why, "connection refused");
        }
    }

    async fn tcp(&self, incoming: Incoming, closing: watch::Receiver<bool>) -> Result<(), Refusal> {
        let received_at = Instant::now();
        let Incoming {
            stream,
            peer,
            listener,
            guard,
        } = incoming;
        let mut stream = TcpStream::from_std(stream)?;
        match self
            .pass(&mut stream, peer, listener, received_at, closing)
            .await
        {
            Ok(passed) => {
                let transport = Transport::Tcp(stream);
                self.hand_over(passed, transport, peer, listener, received_at, guard);
                Ok(())
            }
            Err(failure) => {
                goodbye(&mut stream, failure.connack.as_deref()).await;
                Err(failure.why)
            }
        }
    }

    async fn web_socket(
        &self,
        incoming: Incoming,
        mut closing: watch::Receiver<bool>,
    ) -> Result<(), Refusal> {
        let received_at = Instant::now();
        let Incoming {
            stream,
            peer,
            listener,
            guard,
        } = incoming;
        let mut stream = TcpStream::from_std(stream)?;
        let upgrade = tokio::select! {
            upgrade = websocket::upgrade(&mut stream, &self.websocket_path) => {
                upgrade.map_err(Refusal::from)
            }
            () = tokio::time::sleep(self.read_limit) => Err(Refusal::Timeout),
            _ = closing.wait_for(|closing| *closing) => Err(Refusal::ShuttingDown),
        };
        let leftover = match upgrade {
            Ok(leftover) => leftover,
            Err(why) => {
                goodbye(&mut stream, None).await;
                return Err(why);
            }
        };
        let (mut pipe, pump) = websocket::pipe(stream, leftover, self.max_packet_size);
        let connect = async {
            match self
                .pass(&mut pipe, peer, listener, received_at, closing)
                .await
            {
                Ok(passed) => {
                    let transport = Transport::WebSocket(pipe);
                    self.hand_over(passed, transport, peer, listener, received_at, guard);
                    Ok(())
                }
                Err(failure) => {
                    if let Some(connack) = failure.connack {
                        // Fits into the pipe, so this waits for nobody.
                        let _ = pipe.write_all(&connack).await;
                    }
                    drop(pipe);
                    Err(failure.why)
                }
            }
        };
        match tokio::join!(connect, pump) {
            (Err(Refusal::Closed), Err(error)) => Err(error.into()),
            (Err(why), _) => Err(why),
            (Ok(()), Err(error)) => {
                tracing::debug!(%peer, %error, "WebSocket connection ended");
                Ok(())
            }
            (Ok(()), Ok(())) => Ok(()),
        }
    }

    fn hand_over(
        &self,
        passed: Passed,
        transport: Transport,
        peer: SocketAddr,
        listener: ListenerKind,
        received_at: Instant,
        guard: ConnectionGuard,
    ) {
        let anonymous = passed.username.is_none();
        let Passed {
            buffered,
            client_id,
            assigned,
            username,
        } = passed;
        self.handover.accepted(Accepted {
            transport,
            buffered,
            client_id,
            assigned,
            username,
            anonymous,
            peer,
            listener,
            received_at,
            guard: Some(guard),
        });
    }

    /// Reads one CONNECT and decides.
    async fn pass<S: AsyncRead + Unpin>(
        &self,
        stream: &mut S,
        peer: SocketAddr,
        listener: ListenerKind,
        received_at: Instant,
        mut closing: watch::Receiver<bool>,
    ) -> Result<Passed, Failure> {
        let mut received = Vec::new();
        let left = self.read_limit.saturating_sub(received_at.elapsed());
        let read = tokio::select! {
            read = self.read_connect(stream, &mut received) => read,
            () = tokio::time::sleep(left) => Err(Refusal::Timeout),
            _ = closing.wait_for(|closing| *closing) => Err(Refusal::ShuttingDown),
        };
        // Its share of the bytes that large packets may take lasts until the packet moves on.
        let _share = match read {
            Ok(share) => share,
            Err(why) => {
                let connack = why.connack_unread(&received);
                return Err(Failure { why, connack });
            }
        };
        let connect = self.checks.decode(&received).map_err(|why| {
            let connack = why.connack_unread(&received);
            Failure { why, connack }
        })?;
        let decide = async {
            let (client_id, assigned) = self.checks.client_id(&connect)?;
            let username = connect.username;
            let identity = self
                .authenticator
                .authenticate(username, connect.password)
                .await?;
            Ok((client_id, assigned, identity.username().cloned()))
        };
        let decided = tokio::select! {
            decided = decide => decided,
            _ = closing.wait_for(|closing| *closing) => Err(Refusal::ShuttingDown),
        };
        match decided {
            Ok((client_id, assigned, username)) => Ok(Passed {
                client_id,
                assigned,
                username,
                buffered: received,
            }),
            Err(why) => {
                let (client_id, username) = (connect.client_id, connect.username);
                tracing::debug!(%peer, ?client_id, ?username, %why, "CONNECT refused");
                let refused = Refused {
                    client_id,
                    username,
                    peer,
                    listener,
                    why: &why,
                };
                self.handover.refused(&refused);
                let connack = why.connack(connect.version, connect.maximum_packet_size);
                Err(Failure { why, connack })
            }
        }
    }

    /// Reads until the first packet, which must be a CONNECT, is whole.
    async fn read_connect<S: AsyncRead + Unpin>(
        &self,
        stream: &mut S,
        received: &mut Vec<u8>,
    ) -> Result<Option<SemaphorePermit<'_>>, Refusal> {
        let mut large = None;
        loop {
            let missing = match self.checks.head(received)? {
                Head::Whole => return Ok(large),
                Head::Unknown => 512,
                Head::Missing { bytes, of } => {
                    if of > SMALL && large.is_none() {
                        let share = u32::try_from(of).unwrap_or(u32::MAX);
                        // Waits at most as long as the client may take. Never closed.
                        large = self.large.acquire_many(share).await.ok();
                    }
                    bytes
                }
            };
            received.reserve(missing.min(CHUNK));
            if stream.read_buf(received).await? == 0 {
                return Err(Refusal::Closed);
            }
        }
    }
}

/// Nobody serves the client's slot: CONNACK 0x88, in 3.x 0x03.
pub async fn refuse_unserved(accepted: Accepted) {
    let why = Refusal::Unserved;
    tracing::debug!(peer = %accepted.peer, client_id = accepted.client_id, %why, "CONNECT refused");
    let connect = match isthmus_mqtt::frame(&accepted.buffered, usize::MAX) {
        Ok(Some(frame)) => isthmus_mqtt::decode(frame, isthmus_mqtt::Version::V311).ok(),
        _ => None,
    };
    let Some(isthmus_mqtt::Packet::Connect(connect)) = connect else {
        return;
    };
    let connack = why.connack(connect.version, connect.maximum_packet_size);
    let connack = connack.unwrap_or_default();
    match accepted.transport {
        Transport::Tcp(mut stream) => goodbye(&mut stream, Some(&connack)).await,
        Transport::Detached(stream) => {
            if let Ok(mut stream) = TcpStream::from_std(stream) {
                goodbye(&mut stream, Some(&connack)).await;
            }
        }
        // Fits into the pipe, so this waits for nobody; the other end sees it through.
        Transport::WebSocket(mut pipe) => drop(pipe.write_all(&connack).await),
        Transport::Pipe(mut pipe) => drop(pipe.write_all(&connack).await),
    }
}

/// Says why, closes, and reads what the client still sends, so that the answer is not lost to a
/// connection reset.
async fn goodbye(stream: &mut TcpStream, connack: Option<&[u8]>) {
    let farewell = async {
        if let Some(connack) = connack {
            stream.write_all(connack).await?;
        }
        stream.shutdown().await?;
        let mut rest = stream.take(256 * 1024);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // The connection is over either way.
    let _ = timeout(GOODBYE, farewell).await;
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
