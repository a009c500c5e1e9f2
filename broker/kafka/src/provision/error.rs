//! Why a topic is not what was asked: one variant for each `Ready` reason of a `ParentTopic`.

use rdkafka::types::RDKafkaErrorCode as Code;

use crate::admin::AdminError;

/// Why a topic is not what was asked. Each message says the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[allow(
    missing_docs,
    reason = "the one field is the message, the same everywhere"
)]
pub enum ProvisionError {
    /// Kafka does not answer.
    KafkaUnavailable { message: String },
    /// Kafka said no, in its own words.
    KafkaRejected { message: String },
    /// Kafka refuses `a.b` beside `a_b`.
    NameCollision { message: String },
    /// Not a name that Kafka takes.
    InvalidName { message: String },
    /// Another number of partitions, which cannot be had.
    PartitionsMismatch { message: String },
    /// Another number of replicas.
    ReplicationMismatch { message: String },
}

impl ProvisionError {
    /// The condition reason of RESOURCES.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::KafkaUnavailable { .. } => "KafkaUnavailable",
            Self::KafkaRejected { .. } => "KafkaRejected",
            Self::NameCollision { .. } => "NameCollision",
            Self::InvalidName { .. } => "InvalidName",
            Self::PartitionsMismatch { .. } => "PartitionsMismatch",
            Self::ReplicationMismatch { .. } => "ReplicationMismatch",
        }
    }

    /// Whether it passes without anybody's doing. The others are worth a look now and then only,
    /// for somebody may have changed Kafka.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::KafkaUnavailable { .. } => true,
            Self::KafkaRejected { .. }
            | Self::NameCollision { .. }
            | Self::InvalidName { .. }
            | Self::PartitionsMismatch { .. }
            | Self::ReplicationMismatch { .. } => false,
        }
    }

    /// What Kafka's answer about `topic` means.
    pub(super) fn from_admin(topic: &str, error: &AdminError) -> Self {
        let (code, said) = match error {
            AdminError::Unavailable(_) => {
                return Self::KafkaUnavailable {
                    message: format!("{error}; it is asked again by itself"),
                };
            }
            AdminError::Configuration(_) => {
                return Self::KafkaRejected {
                    message: format!("{error}: correct the Kafka settings of the instance"),
                };
            }
            AdminError::Rejected { code, message } => (*code, message),
        };
        if code == Code::InvalidTopic {
            return if said.contains("collide") {
                Self::NameCollision {
                    message: format!(
                        "{said}: Kafka takes '.' and '_' in names for the same; choose another \
                         name than {topic}"
                    ),
                }
            } else {
                Self::InvalidName {
                    message: format!("{said}: choose another name than {topic}"),
                }
            };
        }
        let way_out = match code {
            Code::InvalidConfig => "correct the config",
            Code::PolicyViolation => {
                "ask for what the cluster's policy permits, or have the policy changed"
            }
            Code::InvalidReplicationFactor => {
                "set replicationFactor to no more than the brokers that are up"
            }
            Code::InvalidPartitions => "correct partitions",
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::SaslAuthenticationFailed => {
                "grant the Kafka user of Isthmus Create, Describe, DescribeConfigs, Alter and \
                 AlterConfigs on the topic"
            }
            _ => "correct what is asked for, or the cluster",
        };
        Self::KafkaRejected {
            message: format!("Kafka refused topic {topic}: {said}: {way_out}"),
        }
    }
}
