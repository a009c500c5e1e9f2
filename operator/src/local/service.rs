//! The brokers as one service: as many as asked for, one at a time restarted when their
//! configuration changed, all of them stopped at the end.
//!
//! Invariants: a broker with a new configuration is ready before the next one is restarted for it;
//! a change of the number of brokers restarts none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use isthmus_config::BrokerConfig;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::out::Out;
use super::pod::{Pod, Pods};

/// What failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The brokers of the instance.
#[derive(Debug)]
pub struct Service {
    wanted: watch::Sender<Vec<BrokerConfig>>,
    status: watch::Receiver<Status>,
    end: oneshot::Sender<()>,
    keeper: JoinHandle<()>,
}

/// What runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// The configurations that the brokers were started with, by number.
    pub running: BTreeMap<u16, BrokerConfig>,
    /// Those that are ready.
    pub ready: BTreeSet<u16>,
    /// As many as asked for, all with the configuration asked for and ready; not where none is
    /// asked for.
    pub complete: bool,
}

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Start(u16),
    Restart(u16),
    Stop(u16),
}

impl Service {
    /// Nothing runs yet.
    #[must_use]
    pub fn new(pods: Pods, out: Out) -> Self {
        let (wanted, asked) = watch::channel(Vec::new());
        let (status, followed) = watch::channel(Status::default());
        let (end, ended) = oneshot::channel();
        let keeper = Keeper {
            source: pods,
            out,
            asked,
            status,
            pods: BTreeMap::new(),
        };
        Self {
            wanted,
            status: followed,
            end,
            keeper: tokio::spawn(keeper.run(ended)),
        }
    }

    /// Asks for these brokers; what it takes is done by and by.
    pub fn set(&self, configs: Vec<BrokerConfig>) {
        self.wanted.send_if_modified(|wanted| {
            let changed = *wanted != configs;
            *wanted = configs;
            changed
        });
    }

    /// Whether a broker is to run.
    #[must_use]
    pub fn wanted(&self) -> bool {
        !self.wanted.borrow().is_empty()
    }

    /// Follows what runs.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Stops every broker, all at the same time.
    pub async fn stop(self) {
        // A keeper that has ended keeps nothing.
        let _ = self.end.send(());
        let _ = self.keeper.await;
    }
}

struct Keeper {
    source: Pods,
    out: Out,
    asked: watch::Receiver<Vec<BrokerConfig>>,
    status: watch::Sender<Status>,
    pods: BTreeMap<u16, Pod>,
}

impl Keeper {
    async fn run(mut self, end: oneshot::Receiver<()>) {
        tokio::select! {
            // One who does not say it any more has ended too.
            _ = end => {}
            () = self.keep() => {}
        }
        let mut stops = JoinSet::new();
        for mut pod in self.pods.into_values() {
            stops.spawn(async move { pod.stop().await });
        }
        while stops.join_next().await.is_some() {}
        self.status.send_replace(Status::default());
    }

    /// Until nobody can ask any more.
    async fn keep(&mut self) {
        let mut status = self.status.subscribe();
        loop {
            let wanted = self.asked.borrow_and_update().clone();
            let ready = status.borrow_and_update().ready.clone();
            let done = match next(&self.running(), &ready, &wanted) {
                Some(step) => {
                    let done = self.take(step, &wanted).await;
                    if done.is_ok() {
                        continue;
                    }
                    done
                }
                None => {
                    let complete =
                        !wanted.is_empty() && numbered(&wanted).all(|(n, _)| ready.contains(&n));
                    self.status.send_if_modified(|status| {
                        let changed = status.complete != complete;
                        status.complete = complete;
                        changed
                    });
                    Ok(())
                }
            };
            let failed = done.is_err();
            if let Err(problem) = done {
                self.out.line(format!("problem: {problem}"));
            }
            tokio::select! {
                changed = self.asked.changed() => if changed.is_err() {
                    return;
                },
                // Its sender is ours.
                _ = status.changed(), if !failed => {}
                () = sleep(RETRY), if failed => {}
            }
        }
    }

    fn running(&self) -> BTreeMap<u16, BrokerConfig> {
        let config = |(n, pod): (&u16, &Pod)| (*n, pod.config().clone());
        self.pods.iter().map(config).collect()
    }

    async fn take(&mut self, step: Step, wanted: &[BrokerConfig]) -> Result<(), String> {
        self.status.send_modify(|status| status.complete = false);
        let (Step::Start(n) | Step::Restart(n) | Step::Stop(n)) = step;
        let config = wanted.get(usize::from(n)).cloned();
        let status = self.status.clone();
        let ready = move |ready: bool| {
            let mut before = false;
            status.send_if_modified(|status| {
                before = status.ready.contains(&n);
                if ready {
                    status.ready.insert(n);
                } else {
                    status.ready.remove(&n);
                }
                before != ready
            });
            before
        };
        match (config, self.pods.get_mut(&n)) {
            (Some(config), None) => {
                let pod = self.source.start(n, config, ready)?;
                self.pods.insert(n, pod);
            }
            (Some(config), Some(pod)) => {
                self.out.line(format!(
                    "the configuration of broker-{n} changed, restarting it"
                ));
                pod.restart(config, ready).await?;
            }
            (None, Some(pod)) => {
                let count = wanted.len();
                self.out
                    .line(format!("stopping broker-{n} (replicas: {count})"));
                pod.stop().await;
                ready(false);
                // Only now, so that it is stopped again where this was cancelled.
                self.pods.remove(&n);
            }
            (None, None) => {}
        }
        let running = self.running();
        self.status.send_modify(|status| status.running = running);
        Ok(())
    }
}

fn numbered(wanted: &[BrokerConfig]) -> impl Iterator<Item = (u16, &BrokerConfig)> {
    (0..=u16::MAX).zip(wanted)
}

/// What to do next: too many are stopped, the highest number first; those that are missing are
/// started together; a changed one is restarted when all that have their configuration are ready,
/// one that does not serve anyway before the others.
fn next(
    running: &BTreeMap<u16, BrokerConfig>,
    ready: &BTreeSet<u16>,
    wanted: &[BrokerConfig],
) -> Option<Step> {
    if let Some(highest) = running.keys().next_back()
        && usize::from(*highest) >= wanted.len()
    {
        return Some(Step::Stop(*highest));
    }
    if let Some((missing, _)) = numbered(wanted).find(|(n, _)| !running.contains_key(n)) {
        return Some(Step::Start(missing));
    }
    let is_right = |n: u16, config: &BrokerConfig| running.get(&n) == Some(config);
    let (right, changed): (Vec<_>, Vec<_>) =
        numbered(wanted).partition(|(n, config)| is_right(*n, config));
    if !right.iter().all(|(n, _)| ready.contains(n)) {
        return None;
    }
    let first = changed.iter().min_by_key(|(n, _)| ready.contains(n))?;
    Some(Step::Restart(first.0))
}

#[cfg(test)]
mod tests;
