//! A shard's thread: the pure core with its connections. Events come by a channel, bytes by the
//! connections' own tasks; both run on this one thread, so a session needs no lock.
//!
//! What a batch of input caused is written to the sockets when the batch is done, in one write a
//! connection.

mod accept;
mod connection;
mod effects;
mod feed;
mod link;
mod measure;
mod rights;
mod slots;
mod system;

use crate::shared::{Door, Event, From, Shared};
use crate::telemetry::Heartbeat;
use isthmus_core::shard::{Config, ConnId, Effect, Ended, Shard, Taken, Token, View};
use link::Link;
use rights::Rights;
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Events taken from the channel at once.
const BATCH: usize = 512;
/// How often the core looks at its clock.
const TICK: Duration = Duration::from_millis(100);
/// Bytes that are read from a socket at once.
const READ: usize = 64 * 1024;

/// Runs a shard on the current thread until it is told to stop.
pub async fn run(
    shared: Arc<Shared>,
    number: u16,
    mut events: mpsc::UnboundedReceiver<Event>,
    heartbeat: Heartbeat,
) {
    let worker = Rc::new(RefCell::new(Worker::new(shared, number)));
    let scratch = Rc::new(RefCell::new(vec![0; READ]));
    let mut batch = Vec::with_capacity(BATCH);
    let mut doors = JoinSet::new();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            taken = events.recv_many(&mut batch, BATCH) => {
                if taken == 0 {
                    return;
                }
                for event in batch.drain(..) {
                    take(&worker, &scratch, &mut doors, event);
                }
            }
            _ = tick.tick() => {
                heartbeat.beat();
                worker.borrow_mut().tick();
            }
        }
        // What a handshake came to is in its own log line.
        while doors.try_join_next().is_some() {}
        let mut worker = worker.borrow_mut();
        worker.finish_batch();
        if doors.is_empty() && worker.stopped() {
            return;
        }
    }
}

fn take(
    worker: &Rc<RefCell<Worker>>,
    scratch: &Rc<RefCell<Vec<u8>>>,
    doors: &mut JoinSet<()>,
    event: Event,
) {
    match event {
        Event::Incoming(door) => {
            let Door {
                incoming,
                handshake,
                closing,
            } = *door;
            doors.spawn_local(handshake.serve(incoming, closing));
        }
        Event::Accepted(accepted) => accept::accept(worker, scratch, *accepted),
        other => worker.borrow_mut().event(other),
    }
}

/// The core with what it needs to act.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    number: u16,
    /// The topic whose partitions the slots are.
    inbox: Arc<str>,
    core: Shard,
    fx: Vec<Effect>,
    /// Who waits for the answer to a live message that went on.
    asked: FxHashMap<Token, From>,
    rights: Rights,
    links: FxHashMap<ConnId, Rc<Link>>,
    touched: Vec<ConnId>,
    measured: measure::Measured,
    system: system::System,
    stopping: Option<oneshot::Sender<()>>,
    failed: bool,
}

impl Worker {
    fn new(shared: Arc<Shared>, number: u16) -> Self {
        let config = &shared.config;
        let core = Shard::new(Config {
            shard: number,
            shards: u16::try_from(shared.shards.len()).unwrap_or(1),
            slots: config.slots,
            node: Arc::from(&*config.node),
            start: shared.clock.start(),
            session: config.session.clone(),
            limits: config.limits.clone(),
        });
        let rights = Rights::new(&shared);
        let inbox = crate::kafka::Topics::new(&shared.config).inbox().clone();
        Self {
            shared,
            number,
            inbox,
            core,
            fx: Vec::new(),
            asked: FxHashMap::default(),
            rights,
            links: FxHashMap::default(),
            touched: Vec::new(),
            measured: measure::Measured::default(),
            system: system::System::default(),
            stopping: None,
            failed: false,
        }
    }

    /// Hands something to the core and does what it asks for; sockets are written later.
    pub(crate) fn act<R>(
        &mut self,
        event: impl FnOnce(&mut Shard, View<'_>, &mut Vec<Effect>) -> R,
    ) -> R {
        let backlogged = self.shared.backlogged();
        let answer = {
            let routes = self.shared.routes.read();
            let retained = self.shared.retained.read();
            let view = View {
                now: self.shared.clock.now(),
                routes: &routes,
                retained: &retained,
                directory: &self.rights,
                backlogged,
                alone: !routes.is_linked(),
            };
            event(&mut self.core, view, &mut self.fx)
        };
        self.perform();
        answer
    }

    /// Commits what clients wait for, and writes to the sockets.
    pub(crate) fn finish_batch(&mut self) {
        self.finish_closing();
        self.act(|core, _, fx| core.flush(fx, false));
        let mut touched = std::mem::take(&mut self.touched);
        self.core.take_touched(&mut touched);
        for id in touched.drain(..) {
            self.write(id);
        }
        self.touched = touched;
    }

    fn tick(&mut self) {
        let now = self.shared.clock.now();
        for (id, link) in &self.links {
            // While it is us who do not read, silence is not the client's.
            if link.is_held() {
                self.core.alive(*id, now);
            }
        }
        if !self.shared.congested() {
            for link in self.links.values() {
                link.release_backlog();
            }
        }
        self.act(|core, view, fx| core.tick(view, fx));
        let (counters, gauges) = (self.core.counters(), self.core.gauges());
        self.measured
            .report(&self.shared.metrics, &counters, &gauges);
        self.tell_system();
    }

    fn stopped(&mut self) -> bool {
        if self.stopping.is_some() && self.core.is_settled() && self.links.is_empty() {
            if let Some(answer) = self.stopping.take() {
                let _ = answer.send(());
            }
            return true;
        }
        false
    }

    fn event(&mut self, event: Event) {
        let outcome = match event {
            Event::Incoming(_) | Event::Accepted(_) => Ok(()),
            Event::Confirmed(token, outcome) => {
                self.measured.record_confirmed(token, &self.shared.metrics);
                self.act(|core, view, fx| core.confirmed(view, token, outcome, fx));
                Ok(())
            }
            Event::Committed(id) => {
                self.measured.commit_ends(&self.shared.metrics);
                self.act(|core, view, fx| core.committed(view, id, fx));
                Ok(())
            }
            Event::Fenced(id) => {
                self.core.fenced(id);
                Ok(())
            }
            Event::Live(from, live) => {
                let size = live.message.size() as u64;
                self.shared.live_gone(size);
                match self.act(|core, view, fx| core.live(view, &live, fx)) {
                    Taken::Now(reached) => from.answer(&self.shared, reached),
                    Taken::Later(token) => drop(self.asked.insert(token, from)),
                }
                Ok(())
            }
            Event::Synced(token) => {
                self.act(|core, view, fx| core.synced(view, token, fx));
                Ok(())
            }
            Event::LiveAnswer(token, reached) => {
                self.act(|core, view, fx| core.live_answered(view, token, reached, fx));
                Ok(())
            }
            Event::Inbox(records) => self.inbox(&records),
            Event::Bodies(slot, bodies) => {
                let bodies: Vec<(i64, Option<Vec<u8>>)> = bodies
                    .into_iter()
                    .map(|(offset, record)| (offset, record.and_then(|r| r.value.clone())))
                    .collect();
                self.act(|core, view, fx| core.bodies(view, slot, &bodies, fx))
            }
            Event::Restore {
                slot,
                position,
                records,
                term,
            } => self.restore_slot(slot, position, &records, term),
            Event::Resume(slot, term) => {
                self.resume_slot(slot, term);
                Ok(())
            }
            Event::Suspend(slot) => {
                self.core.suspend_slot(slot);
                Ok(())
            }
            Event::Named(slot) => {
                self.act(|core, view, fx| core.settle_routes(view, slot, fx));
                Ok(())
            }
            Event::Close(slot) => {
                self.shared.set_here(slot, false);
                self.act(|core, view, fx| core.close_slot(view, slot, fx));
                Ok(())
            }
            Event::Drop(slot) => {
                self.drop_slot(slot);
                self.act(|core, view, fx| core.turn_away(view, slot, fx));
                Ok(())
            }
            Event::Downlink(record) => {
                self.act(|core, view, fx| core.downlink(view, &record, fx));
                Ok(())
            }
            Event::Refreshed(token) => {
                self.act(|core, view, fx| core.refreshed(view, token, fx));
                Ok(())
            }
            Event::Directory => {
                self.rights.refresh(&self.shared);
                self.act(|core, view, fx| core.directory_changed(view, fx));
                Ok(())
            }
            Event::Stop(answer) => {
                self.act(|core, view, fx| core.end_all(view, Ended::ServerShutdown, fx));
                self.act(|core, _, fx| core.flush(fx, true));
                self.stopping = Some(answer);
                Ok(())
            }
        };
        if let Err(error) = outcome {
            self.fail(&error);
        }
    }

    fn inbox(
        &mut self,
        records: &[isthmus_kafka::record::Message],
    ) -> Result<(), isthmus_core::record::RecordError> {
        let mut weight = 0;
        let mut outcome = Ok(());
        for record in records {
            weight += record.weight();
            let slot = u16::try_from(record.partition).unwrap_or(u16::MAX);
            let value = record.value.as_deref().unwrap_or_default();
            if outcome.is_ok() && !self.failed {
                outcome =
                    self.act(|core, view, fx| core.inbox(view, slot, record.offset, value, fx));
            }
        }
        if let Some(group) = self.shared.slots_group.get() {
            group.processed(weight);
        }
        outcome
    }

    /// A record that this release cannot read: it stops here and says so; nothing is skipped.
    fn fail(&mut self, error: &isthmus_core::record::RecordError) {
        if !std::mem::replace(&mut self.failed, true) {
            tracing::error!(%error, shard = self.number, "cannot go on");
        }
        self.shared
            .readiness
            .set_not_ready("records", error.to_string());
    }
}
