//! Many streams over one connection between two pods, each with a window of its own.

use futures_util::io::{AsyncRead, AsyncWrite};
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};
use yamux::{Config, Connection, ConnectionError, Mode};

/// One stream.
pub(super) type Stream = Compat<yamux::Stream>;

/// Streams that a connection may hold; a pod's connections are bounded where they come in.
const STREAMS: usize = 1 << 20;
/// Requests for a stream that may wait.
const OPENING: usize = 1024;

/// Asks the driver of a connection for streams.
#[derive(Clone)]
pub(super) struct Opener(mpsc::Sender<oneshot::Sender<Stream>>);

impl Opener {
    /// Opens a stream.
    pub(super) async fn open(&self) -> io::Result<Stream> {
        let gone = || io::Error::new(io::ErrorKind::NotConnected, "the link is gone");
        let (answer, answered) = oneshot::channel();
        self.0.send(answer).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }
}

/// What a connection's driver takes.
pub(super) type Openings = mpsc::Receiver<oneshot::Sender<Stream>>;

/// An opener and what it asks of.
pub(super) fn opener() -> (Opener, Openings) {
    let (to, from) = mpsc::channel(OPENING);
    (Opener(to), from)
}

/// Moves a connection's bytes until it ends; streams that the other side opens go to `inbound`.
pub(super) async fn drive<S>(
    socket: S,
    mode: Mode,
    mut openings: Openings,
    mut inbound: impl FnMut(Stream),
) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut config = Config::default();
    config
        .set_max_connection_receive_window(None)
        .set_max_num_streams(STREAMS);
    let mut connection = Connection::new(socket, config, mode);
    let mut opening: Option<oneshot::Sender<Stream>> = None;
    poll_fn(move |cx| {
        loop {
            let mut moved = false;
            if opening.is_none()
                && let Poll::Ready(Some(next)) = openings.poll_recv(cx)
            {
                opening = Some(next);
            }
            if opening.is_some()
                && let Poll::Ready(stream) = connection.poll_new_outbound(cx)
            {
                moved = true;
                // Whoever asked may have gone meanwhile; the stream ends with that.
                if let (Some(answer), stream) = (opening.take(), stream?) {
                    let _ = answer.send(stream.compat());
                }
            }
            match connection.poll_next_inbound(cx) {
                Poll::Ready(Some(stream)) => {
                    moved = true;
                    inbound(stream?.compat());
                }
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => {}
            }
            if !moved {
                return Poll::Pending;
            }
        }
    })
    .await
}
