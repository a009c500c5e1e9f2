//! Bytes between a client and the stream to its session. What is read waits in one buffer that all
//! clients of a thread share, so an idle client costs none; only what the other side does not take
//! yet is kept, and nothing more is read until it has gone.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

/// Bytes that are read at once.
const READ: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// How long the last bytes may take.
const GOODBYE: Duration = Duration::from_secs(5);
/// How long a client may go on sending to a session that has ended.
const LINGER: Duration = Duration::from_millis(500);

/// Passes bytes both ways until one side has ended; the other is ended in order.
pub(super) async fn both_ways<C, S>(client: C, stream: S)
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_session, mut to_session) = tokio::io::split(stream);
    let session_ended = tokio::select! {
        // What the session has said comes first.
        biased;
        _ = one_way(&mut from_session, &mut to_client) => true,
        _ = one_way(&mut from_client, &mut to_session) => false,
    };
    if session_ended {
        // What the client still sends is read away, so that closing does not reset what it is sent.
        let _ = timeout(GOODBYE, to_client.shutdown()).await;
        let mut rest = (&mut from_client).take(256 * 1024);
        let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    } else {
        let _ = timeout(GOODBYE, to_session.shutdown()).await;
    }
}

async fn one_way<R, W>(from: &mut R, to: &mut W) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut rest: Vec<u8> = Vec::new();
    loop {
        let ended = poll_fn(|cx| {
            SCRATCH.with_borrow_mut(|scratch| {
                let mut buffer = ReadBuf::new(scratch);
                ready!(Pin::new(&mut *from).poll_read(cx, &mut buffer))?;
                let read = buffer.filled();
                if read.is_empty() {
                    return Poll::Ready(Ok::<_, io::Error>(true));
                }
                // Most often the other side takes it at once.
                let taken = match Pin::new(&mut *to).poll_write(cx, read) {
                    Poll::Pending => 0,
                    Poll::Ready(taken) => taken?,
                };
                rest.extend_from_slice(read.get(taken..).unwrap_or_default());
                Poll::Ready(Ok(false))
            })
        })
        .await?;
        if ended {
            return Ok(());
        }
        if !rest.is_empty() {
            to.write_all(&rest).await?;
            rest = Vec::new();
        }
        to.flush().await?;
    }
}
