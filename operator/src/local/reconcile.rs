//! Brings Kafka to what the files say: topics, then the directory, then deletions.
//!
//! Blocking. Converges: whatever fails is said and tried again, and keeps nothing else waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use isthmus_kafka::admin::{Admin, AdminError};
use isthmus_kafka::directory::{DirectoryWriter, Entry, read_all};
use isthmus_kafka::provision::{Ensured, Outcome, ProvisionError, TopicSpec, ensure};

use super::applied::{Applied, AppliedParent};
use super::desired::{Desired, DesiredParent, DesiredUser, Password};
use super::secrets;
use crate::references::DeletionPolicy;
use crate::user::password::keep_or_hash;
use crate::{directory, instance, parent_topic, user};

const PATIENCE: Duration = Duration::from_secs(20);

/// What a run did.
#[derive(Debug, Default)]
pub struct Report {
    /// What changed, for people.
    pub lines: Vec<String>,
    /// What does not work, with the way out; worth another try.
    pub problems: Vec<String>,
    /// The broker has all topics that it needs.
    pub ready: bool,
}

/// What is kept between runs.
#[derive(Debug)]
pub struct Reconciler {
    bootstrap: String,
    /// `host:port` that generated Secrets name.
    address: String,
    applied_file: PathBuf,
    secrets: PathBuf,
    applied: Applied,
    /// Password and hash by username, so that a hash is verified once.
    hashes: BTreeMap<String, (Vec<u8>, String)>,
    /// Warnings are said once.
    said: BTreeSet<String>,
}

impl Reconciler {
    /// Nothing is asked of Kafka yet.
    #[must_use]
    pub fn new(
        bootstrap: String,
        address: String,
        applied: Applied,
        applied_file: PathBuf,
        secrets: PathBuf,
    ) -> Self {
        let (hashes, said) = (BTreeMap::new(), BTreeSet::new());
        Self {
            bootstrap,
            address,
            applied_file,
            secrets,
            applied,
            hashes,
            said,
        }
    }

    /// What was applied last.
    #[must_use]
    pub fn applied(&self) -> &Applied {
        &self.applied
    }

    /// Follows a changed port.
    pub fn set_address(&mut self, address: String) {
        self.address = address;
    }

    /// One run.
    pub fn run(&mut self, desired: &Desired) -> Report {
        let mut report = Report::default();
        if let Err(error) = self.try_run(desired, &mut report) {
            report.problems.push(error.to_string());
        }
        report
    }

    fn try_run(&mut self, desired: &Desired, report: &mut Report) -> Result<(), AdminError> {
        let admin = Admin::new(&self.bootstrap)?.with_timeout(PATIENCE);
        let cluster = admin.cluster()?;
        if self
            .applied
            .cluster_id
            .as_ref()
            .is_some_and(|id| *id != cluster.cluster_id)
        {
            report.lines.push(
                "another Kafka cluster than last time: everything is made again there".to_owned(),
            );
            self.applied
                .parents
                .iter_mut()
                .for_each(|parent| parent.topic_id = None);
        }
        self.applied.cluster_id = Some(cluster.cluster_id);

        let names = instance::build::names(&desired.instance);
        let own = instance::build::topics(&desired.instance);
        let (parents, parent_specs) = self.parent_specs(desired, report);
        let specs: Vec<TopicSpec> = own.iter().chain(&parent_specs).cloned().collect();
        let mut answers = ensure(&admin, &specs).into_iter();

        report.ready = true;
        let before = report.lines.len();
        for (spec, answer) in own.iter().zip(answers.by_ref()) {
            report.ready &= self
                .note(&format!("Kafka topic {}", spec.name), answer, report)
                .is_some();
        }
        let made = |line: &String| line.contains(" created (");
        if report.lines.len() == before + own.len() && report.lines.iter().skip(before).all(made) {
            report.lines.truncate(before);
            report
                .lines
                .push(format!("{} internal and system topics created", own.len()));
        }
        let mut entries = Vec::new();
        let mut keep = BTreeSet::new();
        let mut applied = Vec::new();
        for (parent, answer) in parents.iter().zip(answers) {
            let said = self.note(
                &format!("parent topic {}", parent.valid.topic),
                answer,
                report,
            );
            match &said {
                Some(done) => {
                    entries.push(parent_topic::build::entry(
                        &parent.valid,
                        &parent.kafka_topic,
                        &done.state,
                    ));
                }
                None => {
                    keep.insert(format!("parent/{}", parent.valid.topic));
                }
            }
            let topic_id = said.map(|done| done.state.topic_id);
            applied.push(self.applied_parent(parent, topic_id));
        }
        for parent in desired.parents.iter().filter(|p| p.valid.suspend) {
            keep.insert(format!("parent/{}", parent.valid.topic));
            applied.push(self.applied_parent(parent, None));
        }
        if report.ready {
            let topic = names.directory();
            if let Err(error) = self.directory(desired, &topic, entries, keep, report) {
                report.ready = false;
                report.problems.push(error);
            }
        }
        // The directory first: nobody writes to a topic that is about to go.
        let gone = self.gone(desired);
        applied.extend(if report.ready {
            remove(gone, &admin, report)
        } else {
            gone
        });
        self.applied.parents = applied;
        self.applied.instance = Some(desired.resource.clone());
        self.applied.users = desired.users.iter().map(|u| u.resource.clone()).collect();
        if let Err(error) = self.applied.write(&self.applied_file) {
            report
                .problems
                .push(format!("{}: {error}", self.applied_file.display()));
        }
        Ok(())
    }

    fn parent_specs<'a>(
        &self,
        desired: &'a Desired,
        report: &mut Report,
    ) -> (Vec<&'a DesiredParent>, Vec<TopicSpec>) {
        let names = instance::build::names(&desired.instance);
        let mut parents = Vec::new();
        let mut specs = Vec::new();
        for parent in desired.parents.iter().filter(|p| !p.valid.suspend) {
            match parent_topic::build::topic_spec(&parent.valid, &desired.instance, &names) {
                Ok(mut spec) => {
                    if let Some(known) = self.applied.parent(&parent.valid.name) {
                        spec.topic_id.clone_from(&known.topic_id);
                        let named = |key: &&String| !spec.config.contains_key(*key);
                        spec.unset = known.configs.iter().filter(named).cloned().collect();
                    }
                    parents.push(parent);
                    specs.push(spec);
                }
                // Found by the validation of the whole set before.
                Err(fault) => report
                    .problems
                    .push(format!("parent topic {}: {fault}", parent.valid.topic)),
            }
        }
        (parents, specs)
    }

    /// Says what became of a topic.
    fn note(
        &mut self,
        what: &str,
        answer: Result<Ensured, ProvisionError>,
        report: &mut Report,
    ) -> Option<Ensured> {
        let done = match answer {
            Ok(done) => done,
            Err(error) => {
                report
                    .problems
                    .push(format!("{what}: {}: {error}", error.reason()));
                return None;
            }
        };
        match done.outcome {
            Outcome::Created => report.lines.push(format!(
                "{what} created ({} partitions, {} replicas)",
                done.state.partitions, done.state.replication_factor
            )),
            Outcome::Adopted => report.lines.push(format!("{what} was there, adopted")),
            Outcome::Changed => report
                .lines
                .push(format!("{what}: {}", done.changes.join(", "))),
            Outcome::Unchanged => {}
        }
        for warning in &done.warnings {
            let warning = format!("{what}: {warning}");
            if self.said.insert(warning.clone()) {
                report.lines.push(format!("warning: {warning}"));
            }
        }
        Some(done)
    }

    fn applied_parent(&self, parent: &DesiredParent, topic_id: Option<String>) -> AppliedParent {
        let before = self.applied.parent(&parent.valid.name);
        AppliedParent {
            resource: parent.resource.clone(),
            kafka_topic: parent.kafka_topic.clone(),
            // A refused change is asked for again, so what was named before still counts.
            configs: match &topic_id {
                Some(_) => parent.valid.config.keys().cloned().collect(),
                None => before.map(|b| b.configs.clone()).unwrap_or_default(),
            },
            topic_id: topic_id.or_else(|| before.and_then(|b| b.topic_id.clone())),
        }
    }

    fn directory(
        &mut self,
        desired: &Desired,
        topic: &str,
        mut entries: Vec<Entry>,
        mut keep: BTreeSet<String>,
        report: &mut Report,
    ) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let existing = read_directory(&self.bootstrap, topic, deadline)?;
        for user in &desired.users {
            let username = &user.valid.username;
            let entry = if user.valid.suspend {
                Ok(None)
            } else {
                self.user(user, &existing, report).map(Some)
            };
            match entry {
                Ok(Some(both)) => entries.extend(both),
                suspended_or_failed => {
                    keep.extend([format!("user/{username}"), format!("acl/{username}")]);
                    if let Err(problem) = suspended_or_failed {
                        report.problems.push(format!("user {username}: {problem}"));
                    }
                }
            }
        }
        let changes = directory::changes(&existing, &entries, &keep);
        report.problems.extend(changes.conflicts);
        if !changes.writes.is_empty() {
            let writer =
                DirectoryWriter::new(&self.bootstrap, topic).map_err(|error| error.to_string())?;
            writer
                .write(&changes.writes, deadline)
                .map_err(|error| error.to_string())?;
            report.lines.extend(changes.lines);
        }
        Ok(())
    }

    fn user(
        &mut self,
        user: &DesiredUser,
        existing: &BTreeMap<String, Entry>,
        report: &mut Report,
    ) -> Result<[Entry; 2], String> {
        let username = &user.valid.username;
        let password = match &user.password {
            Password::Given(password) => password.clone(),
            Password::Generated(name) => {
                let secret = secrets::ensure(&self.secrets, name, &user.valid, &self.address)
                    .map_err(|error| error.to_string())?;
                if secret.created {
                    report.lines.push(format!(
                        "user {username}: password generated in {}",
                        secret.path.display()
                    ));
                }
                secret.password
            }
        };
        let stored = match existing.get(&format!("user/{username}")) {
            Some(Entry::User(_, Some(user))) => Some(user.password_hash.as_str()),
            _ => None,
        };
        let cached = self.hashes.get(username).filter(|(known, hash)| {
            *known == password && stored.is_none_or(|stored| stored == hash)
        });
        let hash = match cached {
            Some((_, hash)) => hash.clone(),
            None => keep_or_hash(&password, stored).map_err(|error| error.to_string())?,
        };
        self.hashes
            .insert(username.clone(), (password, hash.clone()));
        Ok(user::build::entries(&user.valid, hash))
    }

    /// Parent topics that are no longer in the files.
    fn gone(&self, desired: &Desired) -> Vec<AppliedParent> {
        let wanted = |gone: &AppliedParent| {
            desired
                .parents
                .iter()
                .any(|p| p.kafka_topic == gone.kafka_topic)
        };
        self.applied
            .parents
            .iter()
            .filter(|parent| !wanted(parent))
            .cloned()
            .collect()
    }
}

/// A partition has no leader for a moment after it was made or Kafka was started.
fn read_directory(
    bootstrap: &str,
    topic: &str,
    deadline: Instant,
) -> Result<BTreeMap<String, Entry>, String> {
    loop {
        match read_all(bootstrap, topic, deadline) {
            Err(error) if error.is_retryable() && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(200));
            }
            answer => return answer.map_err(|error| error.to_string()),
        }
    }
}

/// Deletes the Kafka topics that are to go with their resource. Those that could not be deleted
/// are kept in mind for the next run.
fn remove(gone: Vec<AppliedParent>, admin: &Admin, report: &mut Report) -> Vec<AppliedParent> {
    let mut left = Vec::new();
    for parent in gone {
        let topic = parent.kafka_topic.as_str();
        if parent.resource.spec.deletion_policy == DeletionPolicy::Retain {
            report.lines.push(format!(
                "Kafka topic {topic} kept, with its messages (deletionPolicy: Retain)"
            ));
            continue;
        }
        let deleted = admin
            .delete(&[topic])
            .and_then(|mut answers| answers.remove(topic).unwrap_or(Ok(())));
        match deleted {
            Ok(()) => report.lines.push(format!(
                "Kafka topic {topic} deleted (deletionPolicy: Delete)"
            )),
            Err(error) => {
                report
                    .problems
                    .push(format!("Kafka topic {topic} is to be deleted: {error}"));
                left.push(parent);
            }
        }
    }
    left
}
