//! The sending end of a live stream: frames in the order in which each shard gave them, what waits
//! for an answer, and the bound on what waits to be sent.

use super::frame::{Answer, Frames, LIVE, Say, frame, parse};
use super::mux::Stream;
use crate::shared::{Event, Shared};
use isthmus_core::record::MessageRecord;
use isthmus_core::routes::Kinds;
use isthmus_core::shard::{Live, Token};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Bytes that may wait for one pod; past them QoS 0 is dropped and counted. What is acknowledged is
/// bounded by what its publishers may have in flight.
const QUEUED: u64 = 16 << 20;
/// How often a pod shows that it lives.
pub(super) const BEAT: Duration = Duration::from_millis(500);
/// A pod that is silent for so long is taken for gone.
pub(super) const SILENCE: Duration = Duration::from_secs(3);
/// Frames written at once.
const BATCH: usize = 256;

/// What waits for an answer of a pod.
enum Waiting {
    Live,
    /// Answered when all pods that were asked have answered.
    Sync(Arc<AtomicUsize>),
}

/// See the module's description.
pub(super) struct Outgoing {
    frames: mpsc::UnboundedSender<Vec<u8>>,
    bytes: AtomicU64,
    /// `None` when the link has ended: nothing is taken any more.
    waiting: Mutex<Option<FxHashMap<(u16, Token), Waiting>>>,
}

impl Outgoing {
    pub(super) fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Vec<u8>>) {
        let (frames, queued) = mpsc::unbounded_channel();
        let outgoing = Self {
            frames,
            bytes: AtomicU64::new(0),
            waiting: Mutex::new(Some(FxHashMap::default())),
        };
        (Arc::new(outgoing), queued)
    }

    fn send(&self, shared: &Shared, bytes: Vec<u8>) {
        let size = bytes.len() as u64;
        self.bytes.fetch_add(size, Ordering::Relaxed);
        shared.live_bytes.fetch_add(size, Ordering::Relaxed);
        if self.frames.send(bytes).is_err() {
            // The link has ended; all that waits is answered then.
            self.sent(shared, size);
        }
    }

    fn sent(&self, shared: &Shared, size: u64) {
        self.bytes.fetch_sub(size, Ordering::Relaxed);
        shared.live_gone(size);
    }

    fn wait(&self, shard: u16, token: Token, waiting: Waiting) -> bool {
        match &mut *self.waiting.lock() {
            Some(open) => {
                open.insert((shard, token), waiting);
                true
            }
            None => false,
        }
    }

    pub(super) fn route(
        &self,
        shared: &Shared,
        slot: u16,
        filter: &str,
        kinds: Kinds,
        number: u64,
    ) {
        let route = Say::Route {
            slot,
            filter,
            kinds,
            number,
        };
        self.send(shared, frame(&route));
    }

    pub(super) fn takes(&self, shared: &Shared, slot: u16) {
        self.send(shared, frame(&Say::Takes { slot }));
    }

    /// `left`: how many pods that were asked have not answered.
    pub(super) fn sync(&self, shared: &Shared, shard: u16, token: Token, left: &Arc<AtomicUsize>) {
        if self.wait(shard, token, Waiting::Sync(left.clone())) {
            self.send(shared, frame(&Say::Sync { shard, token }));
        } else {
            answer(shared, shard, token, &Waiting::Sync(left.clone()), 0);
        }
    }

    /// Whether it was taken; what was taken and waits for an answer gets one.
    pub(super) fn live(&self, shared: &Shared, shard: u16, live: &Live) -> bool {
        let queued = self.bytes.load(Ordering::Relaxed);
        let taken = match live.answer {
            Some(token) => self.wait(shard, token, Waiting::Live),
            None => queued < QUEUED,
        };
        if taken {
            let shared_by = live.shared.iter();
            let bytes = frame(&Say::Live {
                message: MessageRecord::from(&*live.message),
                answer: live.answer.map(|token| (shard, token)),
                all: live.all,
                by_filter: live.by_filter,
                only_online: live.only_online,
                shared: shared_by
                    .map(|(slot, group, filter)| (*slot, &**group, &**filter))
                    .collect(),
            });
            self.send(shared, bytes);
        }
        taken
    }

    /// The link has ended: everything that waits is answered.
    pub(super) fn end(&self, shared: &Shared) {
        let waiting = self.waiting.lock().take().unwrap_or_default();
        for ((shard, token), waiting) in waiting {
            answer(shared, shard, token, &waiting, 0);
        }
    }

    fn answered(&self, shared: &Shared, shard: u16, token: Token, reached: u32) {
        let found = self
            .waiting
            .lock()
            .as_mut()
            .and_then(|open| open.remove(&(shard, token)));
        if let Some(waiting) = found {
            answer(shared, shard, token, &waiting, reached as usize);
        }
    }
}

fn answer(shared: &Shared, shard: u16, token: Token, waiting: &Waiting, reached: usize) {
    let event = match waiting {
        Waiting::Live => Event::LiveAnswer(token, reached),
        Waiting::Sync(left) if left.fetch_sub(1, Ordering::AcqRel) == 1 => Event::Synced(token),
        Waiting::Sync(_) => return,
    };
    shared.tell(usize::from(shard), event);
}

/// What waits to be sent; counted as gone when the link ends.
pub(super) struct Queued<'a> {
    pub(super) shared: &'a Shared,
    pub(super) outgoing: &'a Outgoing,
    pub(super) frames: mpsc::UnboundedReceiver<Vec<u8>>,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.frames.close();
        while let Ok(frame) = self.frames.try_recv() {
            self.outgoing.sent(self.shared, frame.len() as u64);
        }
    }
}

/// Serves the sending end until the other pod falls silent or the stream ends.
pub(super) async fn serve(mut queued: Queued<'_>, stream: Stream) -> io::Result<()> {
    let (shared, outgoing) = (queued.shared, queued.outgoing);
    let (from, mut to) = tokio::io::split(stream);
    let mut hello = vec![LIVE];
    super::frame::put(
        &Say::Hello {
            node: &shared.config.node,
            start: shared.clock.start(),
        },
        &mut hello,
    );
    let write = async {
        to.write_all(&hello).await?;
        to.flush().await?;
        let beat_frame = frame(&Say::Beat);
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        let mut bytes = Vec::new();
        loop {
            let mut counted = 0;
            tokio::select! {
                taken = queued.frames.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        return Ok(());
                    }
                    counted = batch.iter().map(|frame| frame.len() as u64).sum();
                }
                _ = beat.tick() => batch.push(beat_frame.clone()),
            }
            bytes.clear();
            batch
                .drain(..)
                .for_each(|frame: Vec<u8>| bytes.extend_from_slice(&frame));
            to.write_all(&bytes).await?;
            to.flush().await?;
            outgoing.sent(shared, counted);
            if bytes.capacity() > 1 << 20 {
                bytes = Vec::new();
            }
        }
    };
    let read = async {
        let mut frames = Frames::new(from);
        loop {
            let next = timeout(SILENCE, frames.next()).await;
            let Some(bytes) = next.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? else {
                return Ok(());
            };
            match parse(bytes)? {
                Answer::Took {
                    shard,
                    token,
                    reached,
                } => outgoing.answered(shared, shard, token, reached),
                Answer::Synced { shard, token } => outgoing.answered(shared, shard, token, 0),
                Answer::Beat => {}
            }
        }
    };
    tokio::select! {
        ended = write => ended,
        ended = read => ended,
    }
}
