//! The Kafka clusters of the instances: one thread for each instance, which gathers what is asked of it
//! into few calls, so that a thousand parent topics cost little more than one.
//!
//! Invariant: nothing is written to another cluster than the one that an instance began with.

mod gather;
mod worker;

use std::collections::{BTreeSet, HashMap};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use isthmus_kafka::admin::AdminError;
use isthmus_kafka::client::{Connection, Unreachable};
use isthmus_kafka::directory::Entry;
use isthmus_kafka::provision::{Ensured, ProvisionError, TopicSpec};
use tokio::sync::oneshot;

use super::metrics::Metrics;
use crate::instance::access::SecretFault;
use gather::Request;
use worker::Worker;

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Who was not asked for so long holds no connection, and after twice as long no thread.
const REST: Duration = Duration::from_secs(300);

/// Where an instance's Kafka is, and what it keeps there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it is and how one gets in.
    pub connection: Connection,
    /// Where its password is, for people.
    pub password: Option<String>,
    /// The Kafka topic with the instance's users and parent topics.
    pub directory: String,
    /// The cluster that the instance began with.
    pub cluster_id: Option<String>,
}

/// Why something could not be done in Kafka.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// The condition's reason.
    pub reason: &'static str,
    /// What is wrong, and the way out.
    pub message: String,
    /// Only a person can help.
    pub stalled: bool,
}

impl Problem {
    fn ended() -> Self {
        Self {
            reason: "KafkaUnavailable",
            message: "the instance's connection to Kafka has just changed; it is asked again"
                .to_owned(),
            stalled: false,
        }
    }

    fn admin(error: &AdminError, servers: &str) -> Self {
        match error {
            AdminError::Unavailable(why) => Self {
                reason: "KafkaUnavailable",
                message: format!(
                    "Kafka at {servers} does not answer ({why}): check spec.kafka.bootstrapServers and the cluster; it is asked again by itself"
                ),
                stalled: false,
            },
            AdminError::Rejected { message, .. } => Self {
                reason: "KafkaRejected",
                message: format!("Kafka at {servers} refused: {message}"),
                stalled: false,
            },
            AdminError::Configuration(why) => Self {
                reason: "KafkaRejected",
                message: format!("spec.kafka: {why}"),
                stalled: true,
            },
        }
    }
}

impl Problem {
    /// What Kafka said when it was asked to be let in.
    fn unreachable(why: &Unreachable, settings: &Settings) -> Self {
        let servers = &settings.connection.bootstrap_servers;
        let message = match why {
            Unreachable::Authentication(said) => {
                let password = settings.password.as_deref().unwrap_or("spec.kafka.sasl");
                format!(
                    "Kafka at {servers} refuses the user name or password ({said}): correct spec.kafka.sasl.username and mechanism, or {password}"
                )
            }
            Unreachable::Tls(said) => format!(
                "no TLS with Kafka at {servers} ({said}): check spec.kafka.tls and its Secrets, and that this is a TLS port"
            ),
            Unreachable::Settings(said) => format!("spec.kafka: {said}"),
            Unreachable::Network(said) => {
                return Self::admin(&AdminError::Unavailable(said.clone()), servers);
            }
        };
        let reason = match why {
            Unreachable::Authentication(_) => "KafkaAuthenticationFailed",
            Unreachable::Tls(_) => "KafkaTlsFailed",
            Unreachable::Settings(_) | Unreachable::Network(_) => "KafkaRejected",
        };
        Self {
            reason,
            message,
            stalled: true,
        }
    }

    /// The same as a parent topic or user says it: the instance's to mend.
    #[must_use]
    pub fn of_instance(self) -> Self {
        let theirs = [
            "SecretNotFound",
            "SecretInvalid",
            "KafkaAuthenticationFailed",
            "KafkaTlsFailed",
        ];
        if !theirs.contains(&self.reason) {
            return self;
        }
        Self {
            reason: "KafkaUnavailable",
            message: format!("the MqttInstance says: {}", self.message),
            stalled: false,
        }
    }
}

impl From<SecretFault> for Problem {
    fn from(fault: SecretFault) -> Self {
        Self {
            reason: if fault.absent {
                "SecretNotFound"
            } else {
                "SecretInvalid"
            },
            message: fault.message,
            stalled: !fault.absent,
        }
    }
}

impl From<ProvisionError> for Problem {
    fn from(error: ProvisionError) -> Self {
        let reason = error.reason();
        let field = match reason {
            "NameCollision" | "InvalidName" => "; the field is spec.topicName",
            _ => "",
        };
        Self {
            reason,
            stalled: !error.is_retryable() && reason != "NameCollision",
            message: format!("{error}{field}"),
        }
    }
}

/// What became of topics.
#[derive(Debug)]
pub struct Made {
    /// The cluster that they are in.
    pub cluster_id: String,
    /// One answer for each topic, in the order asked.
    pub answers: Vec<Result<Ensured, ProvisionError>>,
}

/// The thread of one instance.
struct Known {
    settings: Settings,
    requests: Sender<Request>,
    used: Instant,
}

/// The Kafka clusters of all instances.
pub struct Kafkas {
    workers: Mutex<HashMap<String, Known>>,
    patience: Duration,
    metrics: Arc<Metrics>,
}

impl Kafkas {
    /// None yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            workers: Mutex::default(),
            patience: PATIENCE,
            metrics,
        }
    }

    /// Bounds every call.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The cluster of an instance. Other settings than before end the former connection.
    #[must_use]
    pub fn of(&self, instance: &str, settings: &Settings) -> Kafka {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        // An instance without a finalizer goes without a word.
        workers.retain(|_, known| known.used.elapsed() < 2 * REST);
        if let Some(known) = workers.get_mut(instance)
            && known.settings == *settings
        {
            known.used = Instant::now();
            return Kafka(known.requests.clone());
        }
        let (requests, asked) = channel();
        let worker = Worker::new(settings.clone(), self.patience, Arc::clone(&self.metrics));
        std::thread::spawn(move || worker.run(&asked));
        let known = Known {
            settings: settings.clone(),
            requests: requests.clone(),
            used: Instant::now(),
        };
        workers.insert(instance.to_owned(), known);
        Kafka(requests)
    }

    /// An instance is gone.
    pub fn forget(&self, instance: &str) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.remove(instance);
    }
}

/// One instance's cluster. Every answer comes, if only to say that Kafka gave none in time.
pub struct Kafka(Sender<Request>);

impl Kafka {
    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, Problem>>) -> Request,
    ) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        self.0.send(request(reply)).map_err(|_| Problem::ended())?;
        answer.await.unwrap_or_else(|_| Err(Problem::ended()))
    }

    /// Brings topics to what they are to be.
    ///
    /// # Errors
    /// Kafka cannot be asked, or it is another cluster than the one that the instance began with.
    pub async fn ensure(&self, specs: Vec<TopicSpec>) -> Result<Made, Problem> {
        self.ask(|reply| Request::Ensure { specs, reply }).await
    }

    /// The directory's entry of this key.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub async fn entry(&self, key: String) -> Result<Option<Entry>, Problem> {
        self.ask(|reply| Request::Entry { key, reply }).await
    }

    /// Writes those of the entries that are not there, removes those without a value; how many were
    /// written.
    ///
    /// # Errors
    /// The HTTP API has taken a name, or Kafka cannot be asked.
    pub async fn write(&self, entries: Vec<Entry>) -> Result<usize, Problem> {
        self.ask(|reply| Request::Write { entries, reply }).await
    }

    /// Takes out the operator's entries whose keys are not among these.
    ///
    /// # Errors
    /// Kafka cannot be asked.
    pub async fn sweep(&self, keep: BTreeSet<String>) -> Result<usize, Problem> {
        self.ask(|reply| Request::Sweep { keep, reply }).await
    }

    /// Deletes topics; one that is not there is no error.
    ///
    /// # Errors
    /// Kafka cannot be asked, or refuses.
    pub async fn delete(&self, topics: Vec<String>) -> Result<(), Problem> {
        self.ask(|reply| Request::Delete { topics, reply }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_kafka::provision::TopicKind;

    fn settings() -> Settings {
        Settings {
            // Nobody listens there.
            connection: Connection::plain("127.0.0.1:1"),
            password: None,
            directory: "__mqtt.iot.plant.directory".to_owned(),
            cluster_id: None,
        }
    }

    #[tokio::test]
    async fn a_kafka_that_is_away_costs_all_that_wait_one_timeout() {
        let kafkas = Kafkas::new(Arc::default()).with_patience(Duration::from_millis(500));
        let begun = Instant::now();
        let asked = (0..40).map(|n| {
            let kafka = kafkas.of("uid", &settings());
            async move {
                let entry = || Entry::Parent(format!("t{n}"), None);
                let problem = match n % 5 {
                    0 => {
                        let spec = TopicSpec::new(format!("t{n}"), TopicKind::System);
                        kafka.ensure(vec![spec]).await.unwrap_err()
                    }
                    1 => kafka.entry("user/a".to_owned()).await.unwrap_err(),
                    2 => kafka.write(vec![entry()]).await.unwrap_err(),
                    3 => kafka.sweep(BTreeSet::new()).await.unwrap_err(),
                    _ => kafka.delete(vec![format!("t{n}")]).await.unwrap_err(),
                };
                assert_eq!(
                    (problem.reason, problem.stalled),
                    ("KafkaUnavailable", false)
                );
                assert!(problem.message.contains("127.0.0.1:1"), "{problem}");
            }
        });
        futures_util::future::join_all(asked).await;
        // The first asks alone, the others together; a second of slack each.
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?}",
            begun.elapsed()
        );
    }

    #[test]
    fn a_thread_is_kept_while_the_settings_are_the_same() {
        let kafkas = Kafkas::new(Arc::default());
        let count = || kafkas.workers.lock().unwrap().len();
        let first = kafkas.of("uid", &settings());
        drop(kafkas.of("uid", &settings()));
        assert_eq!(count(), 1);
        let moved = Settings {
            connection: Connection::plain("127.0.0.1:2"),
            ..settings()
        };
        drop(kafkas.of("uid", &moved));
        assert_eq!(count(), 1);
        drop(first);
        kafkas.forget("uid");
        assert_eq!(count(), 0);
    }
}
