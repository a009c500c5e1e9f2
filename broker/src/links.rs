//! The other pods of the instance: who they are, the links to them, and what is said over these.
//! A link carries streams and decides nothing: who is there comes from the directory, who owns a
//! slot from the routes (architecture section 3).
//!
//! Each pod dials every other one: one connection for live messages and routes, one for the clients
//! whose sessions are there. A stream that is not read fills its own window and holds up no other.

mod accept;
mod copy;
mod dial;
mod forward;
mod frame;
mod live;
mod mux;
mod tls;

use crate::owners::Owners;
use crate::shared::{Event, Shared};
use crate::telemetry::DropReason;
use anyhow::Context as _;
use isthmus_config::BrokerConfig;
use isthmus_core::ownership;
use isthmus_core::routes::Kinds;
use isthmus_core::shard::{Live, Token};
use isthmus_kafka::directory::Pod;
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

pub use accept::{Gather, listen};
pub use forward::bring_home;
use live::Outgoing;
use mux::Opener;
use tls::Tls;

/// How long a start waits for the owners of slots to link; one may be dead.
const OWNERS: Duration = Duration::from_secs(2);

/// The other pods, by number and by name.
#[derive(Default)]
struct Peers {
    numbers: HashMap<String, u16>,
    peers: Vec<Arc<Peer>>,
}

/// Another pod.
struct Peer {
    node: String,
    /// Where it is; none while it is gone.
    pod: watch::Sender<Option<Pod>>,
    live: RwLock<Option<Arc<Outgoing>>>,
    clients: RwLock<Option<Opener>>,
}

/// See the module's description.
pub struct Links {
    node: String,
    tls: Option<Tls>,
    runtime: tokio::runtime::Handle,
    peers: RwLock<Peers>,
    /// Pods that say their routes to this one.
    heard: Mutex<HashSet<String>>,
    /// Pods that are about to open a slot, until the routes have the last word on it: its clients can
    /// wait there for that.
    takers: RwLock<HashMap<u16, u16>>,
    /// Counts links that come and go.
    changes: watch::Sender<u64>,
}

impl Links {
    /// Nobody is known yet. Call it on the runtime that is to serve the links.
    ///
    /// # Errors
    /// The authority's files cannot be used.
    pub fn new(config: &BrokerConfig) -> anyhow::Result<Self> {
        let tls = match &config.peers {
            Some(peers) => Some(Tls::new(&config.node, peers).context("peers")?),
            None => None,
        };
        Ok(Self {
            node: config.node.clone(),
            tls,
            runtime: tokio::runtime::Handle::current(),
            peers: RwLock::default(),
            heard: Mutex::default(),
            takers: RwLock::default(),
            changes: watch::Sender::new(0),
        })
    }

    /// Whether this pod is one of several.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.tls.is_some()
    }

    /// The number by which the routes know a pod; none for this one.
    #[must_use]
    pub fn number(&self, shared: &Arc<Shared>, node: &str) -> Option<u16> {
        if node == self.node {
            return None;
        }
        if let Some(number) = self.peers.read().numbers.get(node) {
            return Some(*number);
        }
        let mut peers = self.peers.write();
        if let Some(number) = peers.numbers.get(node) {
            return Some(*number);
        }
        let number = u16::try_from(peers.peers.len()).ok()?;
        let peer = Arc::new(Peer {
            node: node.to_owned(),
            pod: watch::Sender::new(None),
            live: RwLock::new(None),
            clients: RwLock::new(None),
        });
        peers.numbers.insert(node.to_owned(), number);
        peers.peers.push(peer.clone());
        if self.tls.is_some() {
            let _entered = self.runtime.enter();
            tokio::spawn(dial::keep(shared.clone(), peer));
        }
        Some(number)
    }

    /// What the directory says of a pod.
    pub fn pod(&self, shared: &Arc<Shared>, node: &str, pod: Option<Pod>) {
        let Some(number) = self.number(shared, node) else {
            return;
        };
        if let Some(peer) = self.peer(number) {
            peer.pod.send_if_modified(|known| {
                let changed = *known != pod;
                *known = pod;
                changed
            });
            if self.enabled() && self.staying() == 0 {
                shared.tell_ownership(ownership::Event::Alone);
            }
        }
    }

    /// How many other pods are linked and do not say that they end.
    #[must_use]
    pub fn staying(&self) -> usize {
        let peers = self.peers.read();
        let stays = |peer: &&Arc<Peer>| {
            let leaves = |pod: &Pod| pod.leaving;
            peer.live.read().is_some() && !peer.pod.borrow().as_ref().is_none_or(leaves)
        };
        peers.peers.iter().filter(stays).count()
    }

    /// A pod says its routes to this one, or does no longer.
    fn hears(&self, node: &str, hears: bool) {
        let mut heard = self.heard.lock();
        match hears {
            true => drop(heard.insert(node.to_owned())),
            false => drop(heard.remove(node)),
        }
        drop(heard);
        self.changes.send_modify(|count| *count += 1);
    }

    /// Waits, for a bounded time, until every pod that owns slots says its routes to this one: what
    /// was said before that is in the log.
    pub async fn wait_for_owners(&self, owners: &Owners) {
        if !self.enabled() {
            return;
        }
        let mut changes = self.changes();
        let all = async {
            loop {
                changes.borrow_and_update();
                let nodes = owners.nodes();
                let heard = |node: &String| *node == self.node || self.heard.lock().contains(node);
                if nodes.iter().all(heard) || changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(OWNERS, all).await;
    }

    /// Follows links that come and go.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// How many pods are linked.
    #[must_use]
    pub fn linked(&self) -> usize {
        let peers = self.peers.read();
        let linked = peers.peers.iter().filter(|peer| peer.live.read().is_some());
        linked.count()
    }

    fn peer(&self, number: u16) -> Option<Arc<Peer>> {
        self.peers.read().peers.get(usize::from(number)).cloned()
    }

    /// The pod that is about to open a slot.
    fn taker(&self, slot: u16) -> Option<u16> {
        self.takers.read().get(&slot).copied()
    }

    /// Opens streams for clients to a pod.
    fn opener(&self, number: u16) -> Option<Opener> {
        self.peer(number)?.clients.read().clone()
    }

    fn each_live(&self, mut each: impl FnMut(&Arc<Outgoing>)) {
        for peer in &self.peers.read().peers {
            if let Some(live) = &*peer.live.read() {
                each(live);
            }
        }
    }

    /// A link has come or gone.
    fn changed(&self, shared: &Shared) {
        let linked = self.linked();
        shared.routes.write().set_linked(linked > 0);
        shared
            .metrics
            .peers_linked
            .set(i64::try_from(linked).unwrap_or(i64::MAX));
        self.changes.send_modify(|count| *count += 1);
    }

    /// Says a change of a slot of ours to all.
    pub fn route(&self, shared: &Shared, slot: u16, filter: &str, kinds: Kinds, number: u64) {
        self.each_live(|live| live.route(shared, slot, filter, kinds, number));
    }

    /// Says to all that this pod takes the clients of a slot from now on.
    pub fn takes(&self, shared: &Shared, slot: u16) {
        self.each_live(|live| live.takes(shared, slot));
    }

    /// A pod says that it is about to open a slot.
    fn set_taker(&self, slot: u16, peer: u16) {
        self.takers.write().insert(slot, peer);
        self.changes.send_modify(|count| *count += 1);
    }

    /// The routes name the slot's owner, or that pod takes no clients after all.
    pub fn forget_taker(&self, slot: u16) {
        self.takers.write().remove(&slot);
    }

    /// Asks all for their word that they have applied what was said before; the shard is told.
    pub fn sync(&self, shared: &Shared, shard: u16, token: Token) {
        // One more than are asked, so that an answer cannot come before all are.
        let left = Arc::new(AtomicUsize::new(1));
        self.each_live(|live| {
            left.fetch_add(1, Ordering::AcqRel);
            live.sync(shared, shard, token, &left);
        });
        if left.fetch_sub(1, Ordering::AcqRel) == 1 {
            shared.tell(usize::from(shard), Event::Synced(token));
        }
    }

    /// Hands a live message to another pod; what waits for an answer gets one in any case.
    pub fn live(&self, shared: &Shared, shard: u16, peer: u16, live: &Live) {
        let to = self.peer(peer).and_then(|peer| peer.live.read().clone());
        let taken = to.is_some_and(|to| to.live(shared, shard, live));
        if !taken {
            shared.metrics.messages_dropped.inc(DropReason::Link);
            if let Some(token) = live.answer {
                shared.tell(usize::from(shard), Event::LiveAnswer(token, 0));
            }
        }
    }
}
