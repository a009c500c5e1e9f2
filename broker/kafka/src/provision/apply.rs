//! Applies plans: describe, plan, apply, and describe again until nothing is left to do.
//!
//! Topics are handled together, a round of at most four calls for all of them; each has its own
//! outcome. Kafka's brokers learn of a change one after the other, so that a change which was
//! accepted is waited for and not made twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode as Code;

use super::plan::{MAX_MESSAGE_BYTES, Plan, plan};
use super::{Ensured, Outcome, ProvisionError, TopicKind, TopicSpec};
use crate::admin::{Admin, AdminError, Cluster, ConfigOp, NewTopic, PAUSE, TopicState};

/// How long an accepted change may take to be seen before the topic is reported as it is seen.
const PATIENCE: Duration = Duration::from_secs(2);

type Answer = Result<Ensured, ProvisionError>;

/// Brings topics to what is asked; one answer for each, in the order of `specs`.
///
/// Takes at most the timeout of `admin`. One topic's fault does not keep the others from being
/// made. May be repeated at will.
pub fn ensure(admin: &Admin, specs: &[TopicSpec]) -> Vec<Answer> {
    let deadline = Instant::now() + admin.timeout();
    let mut works: Vec<Work<'_>> = specs.iter().map(Work::new).collect();
    if works.is_empty() {
        return Vec::new();
    }
    match admin.cluster_by(deadline) {
        Ok(cluster) => {
            while works.iter().any(|work| work.answer.is_none()) {
                if let Err(error) = round(admin, &cluster, &mut works, deadline) {
                    give_up(&mut works, &error);
                }
                if works.iter().any(|work| work.answer.is_none()) {
                    std::thread::sleep(PAUSE);
                }
            }
        }
        Err(error) => give_up(&mut works, &error),
    }
    works.into_iter().map(Work::answer).collect()
}

/// What has happened to one topic in this call.
struct Work<'a> {
    spec: &'a TopicSpec,
    created: bool,
    /// When partitions and configs were last changed with success.
    changed_at: Option<Instant>,
    partitions_asked: bool,
    configs_asked: bool,
    changes: Vec<String>,
    /// Warnings of the making; those of keeping come with the last plan.
    warnings: Vec<String>,
    /// Kafka's words when it refused the optional configs.
    optional_refused: Option<String>,
    answer: Option<Answer>,
}

/// The calls of one round, with the index of each one's work.
#[derive(Default)]
struct Calls {
    create: BTreeMap<String, (usize, NewTopic, bool)>,
    partitions: BTreeMap<String, (usize, i32, i32)>,
    configs: BTreeMap<String, (usize, Vec<ConfigOp>, Vec<String>)>,
}

fn round(
    admin: &Admin,
    cluster: &Cluster,
    works: &mut [Work<'_>],
    deadline: Instant,
) -> Result<(), AdminError> {
    let names: Vec<&str> = works
        .iter()
        .filter(|w| w.answer.is_none() && crate::names::check_topic(&w.spec.name).is_ok())
        .map(|w| w.spec.name.as_str())
        .collect();
    let states = admin.describe_by(&names, deadline)?;
    let mut calls = Calls::default();
    for (index, work) in works
        .iter_mut()
        .enumerate()
        .filter(|(_, w)| w.answer.is_none())
    {
        let state = match states.get(&work.spec.name) {
            Some(Ok(state)) => state.as_ref(),
            // Asked again until the deadline.
            Some(Err(error)) if error.is_retryable() => continue,
            Some(Err(error)) => {
                work.fail(error);
                continue;
            }
            None => None,
        };
        match plan(work.spec, state, cluster) {
            Ok(plan) => work.take(index, plan, state, &mut calls),
            Err(error) => work.answer = Some(Err(error)),
        }
    }
    apply(admin, works, &calls, deadline)
}

fn apply(
    admin: &Admin,
    works: &mut [Work<'_>],
    calls: &Calls,
    deadline: Instant,
) -> Result<(), AdminError> {
    let topics: Vec<NewTopic> = calls
        .create
        .values()
        .map(|(_, topic, _)| topic.clone())
        .collect();
    for (name, answer) in admin.create_by(&topics, deadline)? {
        let Some((index, _, has_optional)) = calls.create.get(&name) else {
            continue;
        };
        if let Some(work) = works.get_mut(*index) {
            work.created(answer, *has_optional);
        }
    }
    let totals: Vec<(&str, i32)> = calls
        .partitions
        .iter()
        .map(|(name, (_, total, _))| (name.as_str(), *total))
        .collect();
    for (name, answer) in admin.add_partitions_by(&totals, deadline)? {
        let Some((index, total, before)) = calls.partitions.get(&name) else {
            continue;
        };
        if let Some(work) = works.get_mut(*index) {
            work.partitions_asked = true;
            work.changed(answer, vec![format!("partitions {before} -> {total}")]);
        }
    }
    let changes: Vec<(&str, &[ConfigOp])> = calls
        .configs
        .iter()
        // Partitions that were refused leave the configs alone as well.
        .filter(|(_, (index, _, _))| works.get(*index).is_some_and(|w| w.answer.is_none()))
        .map(|(name, (_, ops, _))| (name.as_str(), ops.as_slice()))
        .collect();
    for (name, answer) in admin.set_configs_by(&changes, deadline)? {
        let Some((index, _, texts)) = calls.configs.get(&name) else {
            continue;
        };
        if let Some(work) = works.get_mut(*index) {
            work.configs_asked = true;
            work.changed(answer, texts.clone());
        }
    }
    Ok(())
}

/// No answer from Kafka: the same for every topic that has none yet.
fn give_up(works: &mut [Work<'_>], error: &AdminError) {
    for work in works.iter_mut().filter(|work| work.answer.is_none()) {
        work.answer = Some(Err(ProvisionError::from_admin(&work.spec.name, error)));
    }
}

impl<'a> Work<'a> {
    fn new(spec: &'a TopicSpec) -> Self {
        Self {
            spec,
            created: false,
            changed_at: None,
            partitions_asked: false,
            configs_asked: false,
            changes: Vec::new(),
            warnings: Vec::new(),
            optional_refused: None,
            answer: None,
        }
    }

    /// Adds what the plan asks for to the calls of the round, or ends the work.
    fn take(&mut self, index: usize, plan: Plan, state: Option<&TopicState>, calls: &mut Calls) {
        match (plan, state) {
            (
                Plan::Create {
                    mut topic,
                    optional,
                    warnings,
                },
                _,
            ) => {
                // Made already and not seen yet: the deadline ends the wait.
                if self.created || calls.create.contains_key(&topic.name) {
                    return;
                }
                if self.optional_refused.is_some() {
                    topic.config.retain(|(key, _)| !optional.contains(key));
                }
                self.warnings = warnings;
                let may_drop = self.optional_refused.is_none() && !optional.is_empty();
                calls
                    .create
                    .insert(topic.name.clone(), (index, topic, may_drop));
            }
            (
                Plan::Keep {
                    partitions,
                    configs,
                    warnings,
                },
                Some(state),
            ) => {
                let name = &self.spec.name;
                let settled = partitions.is_none() && configs.is_empty();
                let waited = self.changed_at.is_some_and(|at| at.elapsed() > PATIENCE);
                if settled || waited {
                    self.finish(state.clone(), warnings, &configs);
                    return;
                }
                if let Some(total) = partitions.filter(|_| !self.partitions_asked) {
                    calls
                        .partitions
                        .insert(name.clone(), (index, total, state.partitions));
                }
                if !configs.is_empty() && !self.configs_asked {
                    let texts = configs.iter().map(|op| in_words(op, state)).collect();
                    calls.configs.insert(name.clone(), (index, configs, texts));
                }
            }
            // `plan` keeps only what it was shown.
            (Plan::Keep { .. }, None) => {}
        }
    }

    /// Kafka's answer to the making of the topic.
    fn created(&mut self, answer: Result<(), AdminError>, has_optional: bool) {
        match answer {
            Ok(()) => self.created = true,
            // Somebody was faster; the next round sees the topic.
            Err(AdminError::Rejected {
                code: Code::TopicAlreadyExists,
                ..
            }) => self.warnings.clear(),
            Err(AdminError::Rejected {
                code: Code::InvalidConfig | Code::PolicyViolation,
                message,
            }) if has_optional => self.optional_refused = Some(message),
            Err(error) => self.fail(&error),
        }
    }

    /// Kafka's answer to a change of the topic.
    fn changed(&mut self, answer: Result<(), AdminError>, what: Vec<String>) {
        match answer {
            Ok(()) => {
                self.changed_at = Some(Instant::now());
                self.changes.extend(what);
            }
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &AdminError) {
        self.answer = Some(Err(ProvisionError::from_admin(&self.spec.name, error)));
    }

    fn finish(&mut self, state: TopicState, seen: Vec<String>, unseen: &[ConfigOp]) {
        let known = self.spec.topic_id.as_ref() == Some(&state.topic_id);
        let parent = matches!(self.spec.kind, TopicKind::Parent(_));
        let outcome = if self.created {
            Outcome::Created
        } else if parent && !known {
            Outcome::Adopted
        } else if self.changes.is_empty() {
            Outcome::Unchanged
        } else {
            Outcome::Changed
        };
        let mut warnings = std::mem::take(&mut self.warnings);
        if let Some(said) = &self.optional_refused {
            warnings.push(format!(
                "Kafka refused {} ({said}): the topic has the cluster's own, {MAX_MESSAGE_BYTES} \
                 {}; larger records are refused until the cluster permits more",
                self.spec
                    .defaults
                    .keys()
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(", "),
                state.max_message_bytes()
            ));
        }
        // A topic that was just made has another id than the one that had vanished.
        if !self.created {
            warnings.extend(seen);
        }
        warnings.extend(unseen.iter().map(|op| {
            format!(
                "Kafka took {} and shows another value: write the value as Kafka shows it",
                in_words(op, &state)
            )
        }));
        self.answer = Some(Ok(Ensured {
            outcome,
            changes: std::mem::take(&mut self.changes),
            state,
            warnings,
        }));
    }

    fn answer(self) -> Answer {
        self.answer.unwrap_or_else(|| {
            let message = format!("Kafka topic {}: not looked at; asked again", self.spec.name);
            Err(ProvisionError::KafkaUnavailable { message })
        })
    }
}

/// One change for people: `retention.ms 604800000 -> 3600000`.
fn in_words(op: &ConfigOp, state: &TopicState) -> String {
    let have = |key: &String| state.config.get(key).map_or("unset", String::as_str);
    match op {
        ConfigOp::Set(key, value) => format!("{key} {} -> {value}", have(key)),
        ConfigOp::Delete(key) => format!("{key} {} -> the cluster's default", have(key)),
    }
}
