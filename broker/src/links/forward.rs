//! A client whose session another pod has: it is brought there, and its bytes are passed on for as
//! long as both sides live. A CONNECT whose slot nobody serves is held for a bounded time.

use super::copy::both_ways;
use super::frame::{CLIENT, Client, TAKEN, frame};
use super::mux::{Opener, Stream};
use crate::handshake::{Accepted, Transport, refuse_unserved};
use crate::listener::ListenerKind;
use crate::shared::{Event, Shared};
use isthmus_core::hash;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until, timeout};

/// How long a CONNECT waits for a slot without an owner (architecture section 3).
const PATIENCE: Duration = Duration::from_secs(15);
/// How long another pod may take to say whether it takes a client.
const VERDICT: Duration = Duration::from_secs(3);

/// Brings a client to whoever has its slot, and stays with it until it ends.
pub async fn bring_home(shared: Arc<Shared>, accepted: Accepted) {
    let slot = hash::slot(&accepted.client_id, shared.config.slots);
    let deadline = Instant::now() + PATIENCE;
    let (mut owners, mut links) = (shared.owners.changes(), shared.links.changes());
    loop {
        owners.borrow_and_update();
        links.borrow_and_update();
        if shared.serves(slot) {
            let mut accepted = accepted;
            match accepted.transport.detach() {
                Ok(transport) => accepted.transport = transport,
                Err(error) => {
                    return tracing::debug!(peer = %accepted.peer, %error, "a connection is lost");
                }
            }
            return shared.tell_slot(slot, Event::Accepted(Box::new(accepted)));
        }
        let taker = shared.links.taker(slot);
        let owner = taker.or_else(|| shared.routes.read().peer_of(slot));
        if let Some(opener) = owner.and_then(|owner| shared.links.opener(owner)) {
            match timeout(VERDICT, hand_over(&opener, &accepted)).await {
                Ok(Ok(Some(stream))) => return pass_on(accepted, stream).await,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => {
                    tracing::debug!(slot, %error, "a client could not be handed over");
                }
                Err(_) => {
                    tracing::debug!(slot, "another pod does not say whether it takes a client")
                }
            }
        }
        if taker.is_some() {
            shared.links.forget_taker(slot);
            continue;
        }
        tokio::select! {
            _ = owners.changed() => {}
            _ = links.changed() => {}
            () = sleep_until(deadline) => return refuse_unserved(accepted).await,
        }
    }
}

/// Offers the client; `None` where its slot is not served there.
async fn hand_over(opener: &Opener, accepted: &Accepted) -> io::Result<Option<Stream>> {
    let mut stream = opener.open().await?;
    let mut bytes = vec![CLIENT];
    bytes.extend_from_slice(&frame(&Client {
        client_id: &accepted.client_id,
        assigned: accepted.assigned,
        username: accepted.username.as_deref(),
        peer: accepted.peer,
        web_socket: matches!(accepted.listener, ListenerKind::Ws),
        buffered: &accepted.buffered,
    }));
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    Ok((stream.read_u8().await? == TAKEN).then_some(stream))
}

async fn pass_on(accepted: Accepted, stream: Stream) {
    // The client has its place here for as long as it is passed on.
    let _guard = accepted.guard;
    match accepted.transport {
        Transport::Tcp(client) => both_ways(client, stream).await,
        Transport::Detached(client) => match tokio::net::TcpStream::from_std(client) {
            Ok(client) => both_ways(client, stream).await,
            Err(error) => tracing::debug!(%error, "a connection is lost"),
        },
        Transport::WebSocket(client) => both_ways(client, stream).await,
        Transport::Pipe(client) => both_ways(client, stream).await,
    }
}
