//! Why an admin call failed: Kafka could not be asked, or it said no.

use isthmus_kafka_ffi::Fault;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

/// Why an admin call, or its part for one topic, failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// Kafka did not answer in time, or said that it cannot now. Worth asking again.
    #[error("Kafka is unavailable: {0}")]
    Unavailable(String),
    /// Kafka answered no.
    #[error("Kafka refused: {message}")]
    Rejected {
        /// Kafka's code.
        code: Code,
        /// Kafka's own words, where it gives any.
        message: String,
    },
    /// The client could not be made from its settings.
    #[error("Kafka client configuration: {0}")]
    Configuration(String),
}

impl AdminError {
    /// Sorts a code into "not now" and "no".
    pub(crate) fn from_code(code: Code, message: String) -> Self {
        let passing = matches!(
            code,
            Code::BrokerTransportFailure
                | Code::Resolve
                | Code::AllBrokersDown
                | Code::OperationTimedOut
                | Code::TimedOutQueue
                | Code::MessageTimedOut
                | Code::PurgeQueue
                | Code::PurgeInflight
                | Code::NotEnoughReplicas
                | Code::NotEnoughReplicasAfterAppend
                | Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
                | Code::InProgress
                | Code::PreviousInProgress
                | Code::NodeUpdate
                | Code::Retry
                | Code::UnknownBroker
                | Code::Authentication
                | Code::SSL
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::RequestTimedOut
                | Code::BrokerNotAvailable
                | Code::ReplicaNotAvailable
                | Code::NetworkException
                | Code::NotController
                | Code::OperationNotAttempted
                | Code::KafkaStorageError
                | Code::ThrottlingQuotaExceeded
                | Code::StaleBrokerEpoch
                | Code::RebootstrapRequired
        );
        if passing {
            Self::Unavailable(message)
        } else {
            Self::Rejected { code, message }
        }
    }

    /// Whether the same call may succeed later without anybody's doing.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Rejected { .. } | Self::Configuration(_) => false,
        }
    }
}

impl From<Fault> for AdminError {
    fn from(fault: Fault) -> Self {
        Self::from_code(fault.code, fault.message)
    }
}

impl From<KafkaError> for AdminError {
    fn from(error: KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(code) => Self::from_code(code, error.to_string()),
            None => Self::Unavailable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_by_itself_is_retryable() {
        for (code, retryable) in [
            (Code::OperationTimedOut, true),
            (Code::NotController, true),
            (Code::ThrottlingQuotaExceeded, true),
            (Code::InvalidConfig, false),
            (Code::PolicyViolation, false),
            (Code::TopicAuthorizationFailed, false),
        ] {
            assert_eq!(
                AdminError::from_code(code, String::new()).is_retryable(),
                retryable,
                "{code}"
            );
        }
    }
}
