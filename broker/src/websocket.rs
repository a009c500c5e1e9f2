//! MQTT over WebSocket (MQTT 5 section 6): the connection's task stays on the runtime that accepted
//! it and turns binary messages into bytes and back; the session has the other end of a bounded
//! pipe, which any runtime can read and write like a socket.
//!
//! Packets may span and share messages. Data waits in at most two pipes of [`PIPE`] bytes, one
//! incoming message and one outgoing chunk; whoever does not read makes the other side wait.

mod upgrade;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, ReadHalf, WriteHalf,
};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

pub use upgrade::{UpgradeError, upgrade};

/// Bytes that wait between the tasks, each way.
const PIPE: usize = 16 * 1024;
/// The first chunk that is read from the session's end; it grows to [`PIPE`] while they are full.
const CHUNK: usize = 1024;
/// What a client may pack into one message beyond the largest packet.
const MESSAGE_SLACK: usize = 64 * 1024;
/// How long the last bytes and the closing handshake may take.
const GRACE: Duration = Duration::from_secs(3);

/// The session's end of a WebSocket connection: plain MQTT bytes. Dropping it closes the
/// connection in order; what was written before still goes out.
#[derive(Debug)]
pub struct WebSocketPipe {
    bytes: DuplexStream,
    _alive: oneshot::Sender<Infallible>,
}

impl AsyncRead for WebSocketPipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.bytes).poll_read(cx, buf)
    }
}

impl AsyncWrite for WebSocketPipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.bytes).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(cx)
    }
}

/// Why a WebSocket connection ended out of order.
#[derive(Debug, thiserror::Error)]
pub enum PumpError {
    /// [MQTT-6.0.0-1]
    #[error("a text message; MQTT uses binary ones")]
    Text,
    /// Against RFC 6455, too large, or the socket failed.
    #[error(transparent)]
    WebSocket(#[from] Error),
    /// The session is gone and the client takes no bytes.
    #[error("the client takes no bytes")]
    Stuck,
}

type Sink = SplitSink<WebSocketStream<TcpStream>, Message>;
type Source = SplitStream<WebSocketStream<TcpStream>>;

/// The session's end of an upgraded connection, and the task that serves the client's end.
/// `leftover` is what was read after the upgrade request.
pub fn pipe(
    stream: TcpStream,
    leftover: Vec<u8>,
    max_packet_size: usize,
) -> (
    WebSocketPipe,
    impl Future<Output = Result<(), PumpError>> + Send,
) {
    let (bytes, ours) = tokio::io::duplex(PIPE);
    let (alive, gone) = oneshot::channel();
    let pump = pump(stream, leftover, max_packet_size, ours, gone);
    (
        WebSocketPipe {
            bytes,
            _alive: alive,
        },
        pump,
    )
}

/// How the exchange of data ended.
enum Ended {
    /// By the client.
    Client(Result<(), PumpError>),
    /// By the session, all of whose bytes were sent if `Ok`.
    Session(Result<(), PumpError>),
}

async fn pump(
    stream: TcpStream,
    leftover: Vec<u8>,
    max_packet_size: usize,
    ours: DuplexStream,
    gone: oneshot::Receiver<Infallible>,
) -> Result<(), PumpError> {
    let max_message = max_packet_size.saturating_add(MESSAGE_SLACK);
    let config = WebSocketConfig::default()
        .read_buffer_size(2 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(16 * PIPE)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message));
    let role = Role::Server;
    let client = WebSocketStream::from_partially_read(stream, leftover, role, Some(config)).await;
    let (mut sink, mut source) = client.split();
    let (from_session, to_session) = tokio::io::split(ours);
    let ended = {
        let inbound = inbound(&mut source, to_session);
        let outbound = outbound(&mut sink, from_session);
        tokio::pin!(inbound, outbound);
        tokio::select! {
            ended = &mut inbound => Ended::Client(ended),
            ended = &mut outbound => Ended::Session(ended),
            _ = gone => match timeout(GRACE, &mut outbound).await {
                Ok(ended) => Ended::Session(ended),
                Err(_) => Ended::Session(Err(PumpError::Stuck)),
            },
        }
        // Both of the pipe's halves go here: the session reads the rest, then the end.
    };
    let (result, code) = match ended {
        Ended::Client(Ok(())) => (Ok(()), None),
        Ended::Client(Err(PumpError::Text)) => (Err(PumpError::Text), Some(CloseCode::Unsupported)),
        Ended::Client(Err(PumpError::WebSocket(error))) => {
            let code = match &error {
                Error::Capacity(_) => Some(CloseCode::Size),
                Error::Protocol(_) => Some(CloseCode::Protocol),
                _ => None,
            };
            (Err(error.into()), code)
        }
        Ended::Session(Ok(())) => (Ok(()), Some(CloseCode::Normal)),
        Ended::Client(Err(error)) | Ended::Session(Err(error)) => return Err(error),
    };
    // Whether the goodbye arrives changes nothing.
    let _ = timeout(GRACE, close(&mut sink, &mut source, code)).await;
    result
}

/// The client's messages to the session. When the session is gone they are read and dropped, so
/// that what it said last is not lost to a connection reset.
async fn inbound(
    source: &mut Source,
    mut to_session: WriteHalf<DuplexStream>,
) -> Result<(), PumpError> {
    let mut heard = true;
    while let Some(message) = source.next().await {
        match message {
            Ok(Message::Binary(bytes)) if heard => {
                heard = to_session.write_all(&bytes).await.is_ok();
            }
            Ok(Message::Text(_)) => return Err(PumpError::Text),
            Ok(Message::Close(_)) => break,
            // Pings are answered by the library.
            Ok(_) => {}
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The session's bytes to the client.
async fn outbound(
    sink: &mut Sink,
    mut from_session: ReadHalf<DuplexStream>,
) -> Result<(), PumpError> {
    let mut buffer = BytesMut::new();
    let mut chunk = CHUNK;
    loop {
        buffer.reserve(chunk);
        // A pipe has no errors to read; its end is the session's.
        if from_session.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
            return Ok(());
        }
        chunk = if buffer.len() >= chunk { PIPE } else { CHUNK };
        sink.send(Message::Binary(buffer.split().freeze())).await?;
    }
}

/// Says goodbye, unless the client has, and reads until the client's own.
async fn close(sink: &mut Sink, source: &mut Source, code: Option<CloseCode>) {
    let sent = match code {
        Some(code) => {
            let frame = CloseFrame {
                code,
                reason: Default::default(),
            };
            sink.send(Message::Close(Some(frame))).await
        }
        None => sink.flush().await,
    };
    if sent.is_ok() {
        while let Some(Ok(_)) = source.next().await {}
    }
}

#[cfg(test)]
mod tests;
