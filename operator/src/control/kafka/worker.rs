//! The thread that asks one instance's Kafka, and what it knows of the directory.
//!
//! Invariants: nothing is written before the cluster was seen to be the instance's; a Kafka that does
//! not answer costs all that wait one timeout together, not one each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use isthmus_kafka::admin::{Admin, AdminError};
use isthmus_kafka::client::reach;
use isthmus_kafka::directory::{DirectoryWriter, Entry, read_all};
use isthmus_kafka::provision::{Outcome, ProvisionError, TopicSpec, ensure};

use super::gather::{Batch, Reply, Request, Wish, fitting, writes};
use super::{Made, Problem, REST, Settings};
use crate::control::metrics::Metrics;

/// How long Kafka may take to say why it does not let us in.
const TO_BE_LET_IN: Duration = Duration::from_secs(5);
/// Topics in one call.
const AT_ONCE: usize = 200;
/// How old what is known of the directory may be: the HTTP API and the brokers write to it as well.
const KNOWN: Duration = Duration::from_secs(300);

pub(super) struct Worker {
    settings: Settings,
    /// How long one call may take.
    patience: Duration,
    metrics: Arc<Metrics>,
    admin: Option<Admin>,
    writer: Option<DirectoryWriter>,
    directory: Option<(Instant, BTreeMap<String, Entry>)>,
}

impl Worker {
    pub(super) fn new(settings: Settings, patience: Duration, metrics: Arc<Metrics>) -> Self {
        Self {
            settings,
            patience,
            metrics,
            admin: None,
            writer: None,
            directory: None,
        }
    }

    /// Until nobody can ask any more.
    pub(super) fn run(mut self, asked: &Receiver<Request>) {
        loop {
            match asked.recv_timeout(REST) {
                Ok(first) => {
                    let waiting = std::iter::once(first).chain(asked.try_iter());
                    self.serve(Batch::of(waiting));
                }
                // Nobody asks: no connections are held for nothing.
                Err(RecvTimeoutError::Timeout) => {
                    (self.admin, self.writer, self.directory) = (None, None, None);
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn serve(&mut self, mut batch: Batch) {
        if self.is_known() {
            self.read(std::mem::take(&mut batch.reads));
        }
        let nothing = batch.ensures.is_empty()
            && batch.reads.is_empty()
            && batch.wishes.is_empty()
            && batch.deletes.is_empty();
        if nothing {
            return;
        }
        let cluster_id = match self.cluster() {
            Ok(cluster_id) => cluster_id,
            Err(problem) => return batch.refuse(&problem),
        };
        self.read(batch.reads);
        self.write(batch.wishes);
        self.ensure(&cluster_id, batch.ensures);
        self.delete(batch.deletes);
    }

    fn admin(&mut self) -> Result<&Admin, Problem> {
        let connection = &self.settings.connection;
        if self.admin.is_none() {
            self.let_in()?;
            let made = Admin::new(connection)
                .map_err(|error| Problem::admin(&error, &connection.bootstrap_servers))?;
            self.admin = Some(made.with_timeout(self.patience));
        }
        self.admin.as_ref().ok_or_else(Problem::ended)
    }

    /// A client that is not let in hears only that nobody answers: one that listens is told why.
    fn let_in(&self) -> Result<(), Problem> {
        let connection = &self.settings.connection;
        if connection.tls.is_none() && connection.sasl.is_none() {
            return Ok(());
        }
        reach(connection, TO_BE_LET_IN).map_err(|why| Problem::unreachable(&why, &self.settings))
    }

    fn problem(&self, error: &AdminError) -> Problem {
        if let AdminError::Unavailable(_) = error
            && let Err(problem) = self.let_in()
        {
            return problem;
        }
        Problem::admin(error, &self.settings.connection.bootstrap_servers)
    }

    /// The cluster's id, if it is the one that the instance began with.
    fn cluster(&mut self) -> Result<String, Problem> {
        let servers = self.settings.connection.bootstrap_servers.clone();
        let found = self.admin()?.cluster();
        let found = found.map_err(|error| self.problem(&error))?.cluster_id;
        match &self.settings.cluster_id {
            Some(known) if *known != found => {
                // Nor is what was read there this instance's.
                self.directory = None;
                Err(Problem {
                    reason: "ClusterChanged",
                    message: format!(
                        "{servers} is Kafka cluster {found}, and this instance keeps its sessions in cluster {known}: point spec.kafka.bootstrapServers at that one, or make a new instance"
                    ),
                    stalled: true,
                })
            }
            _ => Ok(found),
        }
    }

    fn ensure(&mut self, cluster_id: &str, mut ensures: Vec<(Vec<TopicSpec>, Reply<Made>)>) {
        while !ensures.is_empty() {
            let count = fitting(ensures.iter().map(|(specs, _)| specs.len()), AT_ONCE);
            let now: Vec<_> = ensures.drain(..count).collect();
            let specs: Vec<TopicSpec> = now.iter().flat_map(|(s, _)| s.clone()).collect();
            let answers = match self.admin() {
                Ok(admin) => ensure(admin, &specs),
                Err(_) => return,
            };
            let silent = |answer: &Result<_, ProvisionError>| {
                answer.as_ref().is_err_and(ProvisionError::is_retryable)
            };
            let away = !answers.is_empty() && answers.iter().all(silent);
            let mut answers = answers.into_iter();
            let mut last = None;
            for (specs, reply) in now {
                let answers: Vec<_> = answers.by_ref().take(specs.len()).collect();
                last = answers.iter().find_map(|a| a.clone().err()).or(last);
                let changed = answers.iter().flatten();
                let changed = changed
                    .filter(|done| done.outcome == Outcome::Created || !done.changes.is_empty());
                self.metrics.kafka_changed("topic", changed.count() as u64);
                let cluster_id = cluster_id.to_owned();
                let _ = reply.send(Ok(Made {
                    cluster_id,
                    answers,
                }));
            }
            if let Some(error) = last.filter(|_| away) {
                let problem = Problem::from(error);
                for (_, reply) in ensures.drain(..) {
                    let _ = reply.send(Err(problem.clone()));
                }
            }
        }
    }

    fn is_known(&self) -> bool {
        let known = self.directory.as_ref();
        known.is_some_and(|(at, _)| at.elapsed() < KNOWN)
    }

    fn directory(&mut self) -> Result<&BTreeMap<String, Entry>, Problem> {
        if !self.is_known() {
            let (connection, topic) = (&self.settings.connection, &self.settings.directory);
            let read = read_all(connection, topic, Instant::now() + self.patience);
            let read = read.map_err(|error| Problem {
                reason: match error.is_retryable() {
                    true => "KafkaUnavailable",
                    false => "KafkaRejected",
                },
                message: format!("the instance's directory {topic} cannot be read: {error}"),
                stalled: false,
            })?;
            self.directory = Some((Instant::now(), read));
        }
        let known = self.directory.as_ref().map(|(_, known)| known);
        known.ok_or_else(Problem::ended)
    }

    fn read(&mut self, reads: Vec<(String, Reply<Option<Entry>>)>) {
        if reads.is_empty() {
            return;
        }
        let directory = self.directory();
        for (key, reply) in reads {
            let answer = match &directory {
                Ok(known) => Ok(known.get(&key).cloned()),
                Err(problem) => Err(problem.clone()),
            };
            let _ = reply.send(answer);
        }
    }

    /// All in one flush.
    fn write(&mut self, wishes: Vec<(Wish, Reply<usize>)>) {
        if wishes.is_empty() {
            return;
        }
        let known = match self.directory() {
            Ok(known) => known.clone(),
            Err(problem) => {
                for (_, reply) in wishes {
                    let _ = reply.send(Err(problem.clone()));
                }
                return;
            }
        };
        let (due, after) = writes(known, wishes.iter().map(|(wish, _)| wish));
        let entries: Vec<Entry> = due.iter().flatten().flatten().cloned().collect();
        let stored = self.store(&entries);
        if stored.is_ok()
            && let Some((_, known)) = &mut self.directory
        {
            *known = after;
        }
        for ((_, reply), due) in wishes.into_iter().zip(due) {
            let answer = match (due, &stored) {
                (Ok(due), Err(problem)) if !due.is_empty() => Err(problem.clone()),
                (due, _) => due.map(|due| due.len()),
            };
            let _ = reply.send(answer);
        }
    }

    fn store(&mut self, entries: &[Entry]) -> Result<(), Problem> {
        if entries.is_empty() {
            return Ok(());
        }
        let (connection, topic) = (&self.settings.connection, &self.settings.directory);
        let servers = &connection.bootstrap_servers;
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => DirectoryWriter::new(connection, topic)
                .map_err(|error| Problem::admin(&error, servers))?,
        };
        let written = writer.write(entries, Instant::now() + self.patience);
        self.writer = Some(writer);
        if let Err(error) = written {
            // Perhaps some are there.
            self.directory = None;
            return Err(Problem::admin(&error, servers));
        }
        let count = entries.len() as u64;
        self.metrics.kafka_changed("directory", count);
        Ok(())
    }

    fn delete(&mut self, deletes: Vec<(Vec<String>, Reply<()>)>) {
        if deletes.is_empty() {
            return;
        }
        let servers = self.settings.connection.bootstrap_servers.clone();
        let all = deletes.iter().flat_map(|(topics, _)| topics);
        let names: Vec<&str> = all.map(String::as_str).collect();
        let answers = match self.admin().map(|admin| admin.delete(&names)) {
            Ok(Ok(answers)) => answers,
            failed => {
                let problem = match failed {
                    Ok(Err(error)) => Problem::admin(&error, &servers),
                    Err(problem) => problem,
                    Ok(Ok(_)) => return,
                };
                for (_, reply) in deletes {
                    let _ = reply.send(Err(problem.clone()));
                }
                return;
            }
        };
        let gone = answers.values().filter(|answer| answer.is_ok()).count();
        self.metrics.kafka_changed("deletion", gone as u64);
        for (topics, reply) in deletes {
            let refused = topics
                .iter()
                .find_map(|topic| answers.get(topic)?.as_ref().err());
            let _ = reply.send(match refused {
                Some(error) => Err(Problem::admin(error, &servers)),
                None => Ok(()),
            });
        }
    }
}
