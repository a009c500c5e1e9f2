//! Keeps this pod linked to another one: dials it while the directory names it, and again when the
//! link ends.

use super::live::{self, Outgoing, Queued};
use super::mux::{self, Openings};
use super::{Links, Peer};
use crate::shared::Shared;
use isthmus_kafka::directory::Pod;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::compat::TokioAsyncReadCompatExt as _;
use yamux::Mode;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(3);
/// Pauses before the next attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// Bytes that were sent and not confirmed for so long end a connection.
const UNCONFIRMED: Duration = Duration::from_secs(5);

/// Keeps the links to a pod for as long as the process lives.
pub(super) async fn keep(shared: Arc<Shared>, peer: Arc<Peer>) {
    let mut pods = peer.pod.subscribe();
    let mut pause = FIRST_PAUSE;
    loop {
        // Who ends is not linked to again.
        let stays = |pod: &Option<Pod>| pod.as_ref().is_some_and(|pod| !pod.leaving);
        let known = pods.wait_for(stays).await.map(|pod| pod.clone());
        let Ok(Some(pod)) = known else { return };
        let mut others = pods.clone();
        let ended = tokio::select! {
            ended = link(&shared, &peer, &pod) => ended,
            // Gone, or another start of it.
            _ = others.wait_for(|now| now.as_ref().is_none_or(|now| now.start != pod.start)) => Ok(()),
        };
        let why = ended.map_or_else(|error| error.to_string(), |()| "closed".to_owned());
        if unlink(&shared, &peer) {
            tracing::info!(node = peer.node, why, "link ended");
            pause = FIRST_PAUSE;
        } else {
            tracing::debug!(node = peer.node, address = pod.address, why, "not linked");
            pause = (pause * 2).min(LAST_PAUSE);
        }
        tokio::select! {
            () = sleep(pause) => {}
            _ = pods.changed() => {}
        }
    }
}

/// Links, and serves the link until it ends.
async fn link(shared: &Arc<Shared>, peer: &Arc<Peer>, pod: &Pod) -> io::Result<()> {
    let links = &shared.links;
    let both = async { tokio::try_join!(dial(links, peer, pod), dial(links, peer, pod)) };
    let dialled = timeout(CONNECT, both).await;
    let (first, second) = dialled.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let (live_opener, live_openings) = mux::opener();
    let (client_opener, client_openings) = mux::opener();
    let live_link = drive(first, live_openings);
    let client_link = drive(second, client_openings);
    let (outgoing, frames) = Outgoing::new();
    let live = async {
        let stream = timeout(CONNECT, live_opener.open()).await;
        let stream = stream.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let queued = Queued {
            shared,
            outgoing: &outgoing,
            frames,
        };
        *peer.clients.write() = Some(client_opener);
        *peer.live.write() = Some(outgoing.clone());
        links.changed(shared);
        tracing::info!(node = peer.node, address = pod.address, "linked");
        live::serve(queued, stream).await
    };
    tokio::select! {
        ended = live => ended,
        ended = live_link => ended,
        ended = client_link => ended,
    }
}

async fn drive(stream: tokio_rustls::TlsStream<TcpStream>, openings: Openings) -> io::Result<()> {
    // The other side opens none here.
    let driven = mux::drive(stream.compat(), Mode::Client, openings, drop).await;
    driven.map_err(io::Error::other)
}

async fn dial(
    links: &Links,
    peer: &Peer,
    pod: &Pod,
) -> io::Result<tokio_rustls::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(&pod.address).await?;
    prepare(&stream);
    let tls = links.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?;
    tls.connect(&peer.node, stream).await
}

/// Small frames go at once, and a pod that has vanished is noticed.
pub(super) fn prepare(stream: &TcpStream) {
    // Without these it is slower, and no more.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(UNCONFIRMED));
}

/// The link has ended; whether there was one.
fn unlink(shared: &Shared, peer: &Peer) -> bool {
    let live = peer.live.write().take();
    if let Some(live) = &live {
        live.end(shared);
    }
    peer.clients.write().take();
    shared.links.changed(shared);
    live.is_some()
}
