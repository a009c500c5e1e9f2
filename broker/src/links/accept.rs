//! What other pods bring: live messages and routes, which go to the shards and the table in their
//! order, and clients whose sessions are here.

use super::dial::prepare;
use super::frame::{Answer, CLIENT, Client, ELSEWHERE, Frames, LIVE, Say, TAKEN, parse};
use super::live::{BEAT, SILENCE};
use super::mux::{self, Stream};
use crate::handshake::{Accepted, Transport};
use crate::listener::ListenerKind;
use crate::shared::{Event, From, Shared};
use isthmus_core::hash;
use isthmus_core::shard::Live;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::compat::TokioAsyncReadCompatExt as _;
use yamux::Mode;

/// How long a link's beginning may take, and that of a stream.
const BEGIN: Duration = Duration::from_secs(5);

/// Counts what the shards of this pod reached, for the pod that asked.
pub struct Gather {
    left: AtomicUsize,
    reached: AtomicU32,
    of: (u16, u64),
    to: mpsc::UnboundedSender<Answer>,
}

impl Gather {
    /// A shard has delivered to so many.
    pub fn done(&self, reached: usize) {
        let reached = u32::try_from(reached).unwrap_or(u32::MAX);
        self.reached.fetch_add(reached, Ordering::AcqRel);
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let (shard, token) = self.of;
            let reached = self.reached.load(Ordering::Acquire);
            // A link that has ended asks no more.
            let _ = self.to.send(Answer::Took {
                shard,
                token,
                reached,
            });
        }
    }
}

/// Accepts links for as long as the process lives.
pub async fn listen(shared: Arc<Shared>, listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a link");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(shared, stream).await {
                tracing::debug!(%peer, %error, "link from another pod");
            }
        });
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream) -> io::Result<()> {
    prepare(&stream);
    let tls = shared
        .links
        .tls
        .as_ref()
        .ok_or(io::ErrorKind::Unsupported)?;
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let stream = timeout(BEGIN, tls.accept(stream)).await.map_err(late)??;
    // Streams are opened by the pod that dialled.
    let (_opener, openings) = mux::opener();
    let to = shared.clone();
    let driven = mux::drive(stream.compat(), Mode::Server, openings, move |stream| {
        let shared = to.clone();
        tokio::spawn(async move {
            if let Err(error) = begin(&shared, stream).await {
                tracing::debug!(%error, "stream of another pod");
            }
        });
    });
    driven.await.map_err(io::Error::other)
}

async fn begin(shared: &Arc<Shared>, mut stream: Stream) -> io::Result<()> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    match timeout(BEGIN, stream.read_u8()).await.map_err(late)?? {
        LIVE => live(shared, stream).await,
        CLIENT => timeout(BEGIN, client(shared, stream)).await.map_err(late)?,
        other => Err(io::Error::other(format!(
            "a stream of kind {other}: the other pod is of a newer release"
        ))),
    }
}

async fn client(shared: &Arc<Shared>, mut stream: Stream) -> io::Result<()> {
    let received_at = Instant::now();
    // Byte by byte would be slow, and what follows the frame is the client's own.
    let length = stream.read_u32().await? as usize;
    if length > (shared.config.limits.max_packet_size as usize).saturating_add(64 << 10) {
        return Err(io::Error::other(format!(
            "a client's beginning of {length} bytes"
        )));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    let client: Client<'_> = parse(&bytes)?;
    let slot = hash::slot(client.client_id, shared.config.slots);
    if !shared.serves(slot) {
        stream.write_all(&[ELSEWHERE]).await?;
        return stream.shutdown().await;
    }
    stream.write_all(&[TAKEN]).await?;
    stream.flush().await?;
    let accepted = Accepted {
        buffered: client.buffered.to_vec(),
        client_id: client.client_id.to_owned(),
        assigned: client.assigned,
        username: client.username.map(Arc::from),
        anonymous: client.username.is_none(),
        peer: client.peer,
        listener: if client.web_socket {
            ListenerKind::Ws
        } else {
            ListenerKind::Mqtt
        },
        received_at,
        // It has its place in the pod that it is connected to.
        guard: None,
        transport: Transport::Pipe(Box::new(stream)),
    };
    shared.tell_slot(slot, Event::Accepted(Box::new(accepted)));
    Ok(())
}

/// The receiving end of a live stream.
async fn live(shared: &Arc<Shared>, stream: Stream) -> io::Result<()> {
    let (from, mut to) = tokio::io::split(stream);
    let (answers, mut answered) = mpsc::unbounded_channel::<Answer>();
    let write = async {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        let mut bytes = Vec::new();
        loop {
            tokio::select! {
                taken = answered.recv_many(&mut batch, 1024) => {
                    if taken == 0 {
                        return Ok(());
                    }
                }
                // Of its own accord: it may be that nothing is read for a while.
                _ = beat.tick() => batch.push(Answer::Beat),
            }
            bytes.clear();
            for answer in batch.drain(..) {
                super::frame::put(&answer, &mut bytes);
            }
            to.write_all(&bytes).await?;
            to.flush().await?;
        }
    };
    let read = async {
        let mut frames = Frames::new(from);
        let mut from_pod = (0, None);
        let mut heard = None;
        loop {
            let next = timeout(SILENCE, frames.next()).await;
            let Some(bytes) = next.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? else {
                return Ok(());
            };
            match parse(bytes)? {
                Say::Hello { node, start: of } => {
                    tracing::debug!(node, start = of, "another pod is linked to this one");
                    from_pod = (of, shared.links.number(shared, node));
                    heard = Some(Heard::new(shared, node));
                }
                Say::Route {
                    slot,
                    filter,
                    kinds,
                    number,
                } => {
                    let mut routes = shared.routes.write();
                    routes.linked(slot, filter, kinds, number, from_pod);
                }
                Say::Takes { slot } => {
                    if let (_, Some(peer)) = from_pod {
                        shared.links.set_taker(slot, peer);
                    }
                }
                Say::Sync { shard, token } => drop(answers.send(Answer::Synced { shard, token })),
                Say::Beat => {}
                live @ Say::Live { .. } => deliver(shared, live, &answers),
            }
            if heard.is_none() {
                return Err(io::Error::other("a pod that does not say who it is"));
            }
            shared.live_room().await;
        }
    };
    tokio::select! {
        ended = write => ended,
        ended = read => ended,
    }
}

/// A pod says its routes for as long as this lives.
struct Heard<'a> {
    shared: &'a Shared,
    node: String,
}

impl<'a> Heard<'a> {
    fn new(shared: &'a Shared, node: &str) -> Self {
        shared.links.hears(node, true);
        Self {
            shared,
            node: node.to_owned(),
        }
    }
}

impl Drop for Heard<'_> {
    fn drop(&mut self) {
        self.shared.links.hears(&self.node, false);
    }
}

fn deliver(shared: &Shared, say: Say<'_>, answers: &mpsc::UnboundedSender<Answer>) {
    let Say::Live {
        message,
        answer,
        all,
        by_filter,
        only_online,
        shared: members,
    } = say
    else {
        return;
    };
    let message = Arc::new(message.to_message());
    let new = || Live {
        message: message.clone(),
        all,
        by_filter,
        only_online,
        shared: Vec::new(),
        answer: None,
    };
    let mut lives: BTreeMap<usize, Live> = BTreeMap::new();
    if all {
        lives.extend((0..shared.shards.len()).map(|shard| (shard, new())));
    }
    for (slot, group, filter) in members {
        let live = lives.entry(shared.shard_of(slot)).or_insert_with(new);
        live.shared.push((slot, group.into(), filter.into()));
    }
    let gather = answer.map(|of| {
        Arc::new(Gather {
            left: AtomicUsize::new(lives.len().max(1)),
            reached: AtomicU32::new(0),
            of,
            to: answers.clone(),
        })
    });
    if lives.is_empty()
        && let Some(gather) = &gather
    {
        gather.done(0);
    }
    for (shard, live) in lives {
        shared
            .live_bytes
            .fetch_add(live.message.size() as u64, Ordering::Relaxed);
        shared.tell(
            shard,
            Event::Live(From::Peer(gather.clone()), Box::new(live)),
        );
    }
}
