//! Every reason to refuse a connection: what the client is told in its version, what is counted.

use isthmus_mqtt::{ConnAck, DecodeError, Packet, ReasonCode, Version, encode};

use super::connect::protocol_level;
use crate::auth::AuthError;
use crate::telemetry::RefusalReason;
use crate::websocket::{PumpError, UpgradeError};

/// Why a connection has no session.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No whole CONNECT in time.
    #[error("no whole CONNECT in time")]
    Timeout,
    /// The client went away.
    #[error("closed before its CONNECT was whole")]
    Closed,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The HTTP request is not for us.
    #[error("{0}")]
    Http(UpgradeError),
    /// Not MQTT's WebSocket frames.
    #[error("WebSocket: {0}")]
    WebSocket(#[from] PumpError),
    /// [MQTT-3.1.0-1]
    #[error("the first packet is not CONNECT, it begins with {0:#04x}")]
    NotConnect(u8),
    /// Not a CONNECT that the specification allows, too large, or of another version.
    #[error("CONNECT: {0}")]
    Malformed(#[from] DecodeError),
    /// An empty ClientId where the version does not let it be assigned.
    #[error("empty ClientId; MQTT 3.1.1 allows it with Clean Session 1 only, MQTT 3.1 never")]
    ClientIdEmpty,
    /// Longer than `limits.maxClientIdLength`.
    #[error("ClientId of {length} {unit}, at most {maximum} are allowed")]
    ClientIdTooLong {
        /// Its length.
        length: usize,
        /// The limit.
        maximum: usize,
        /// Bytes or characters.
        unit: &'static str,
    },
    /// Enhanced authentication is not offered.
    #[error("no Authentication Method is supported")]
    AuthenticationMethod,
    /// Not let in.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Its slot has no owner.
    #[error("no broker serves its session now")]
    Unserved,
    /// This pod is shutting down.
    #[error("this server is shutting down")]
    ShuttingDown,
}

impl From<UpgradeError> for Refusal {
    fn from(error: UpgradeError) -> Self {
        match error {
            UpgradeError::Closed => Self::Closed,
            UpgradeError::Io(error) => Self::Io(error),
            UpgradeError::Refused { .. } => Self::Http(error),
        }
    }
}

impl Refusal {
    /// What the metric counts it as.
    #[must_use]
    pub const fn label(&self) -> RefusalReason {
        match self {
            Self::Timeout => RefusalReason::Timeout,
            Self::Closed | Self::Io(_) => RefusalReason::Closed,
            Self::Http(_) => RefusalReason::Http,
            Self::WebSocket(_) => RefusalReason::WebSocket,
            Self::NotConnect(_) => RefusalReason::NotConnect,
            Self::Malformed(DecodeError::PacketTooLarge { .. }) => RefusalReason::TooLarge,
            Self::Malformed(DecodeError::UnsupportedProtocolVersion(_)) => {
                RefusalReason::UnsupportedVersion
            }
            Self::Malformed(_) => RefusalReason::Malformed,
            Self::ClientIdEmpty | Self::ClientIdTooLong { .. } => RefusalReason::ClientId,
            Self::AuthenticationMethod => RefusalReason::AuthenticationMethod,
            Self::Auth(AuthError::AnonymousRefused) => RefusalReason::Anonymous,
            Self::Auth(AuthError::BadCredentials) => RefusalReason::BadCredentials,
            Self::Auth(AuthError::Busy) => RefusalReason::Busy,
            Self::Unserved => RefusalReason::Unserved,
            Self::ShuttingDown => RefusalReason::ShuttingDown,
        }
    }

    /// What CONNACK says; `None` where the connection is closed without one.
    #[must_use]
    pub const fn reason_code(&self) -> Option<ReasonCode> {
        match self {
            Self::Timeout
            | Self::Closed
            | Self::Io(_)
            | Self::Http(_)
            | Self::WebSocket(_)
            | Self::NotConnect(_) => None,
            Self::Malformed(error) => Some(error.reason_code()),
            Self::ClientIdEmpty | Self::ClientIdTooLong { .. } => {
                Some(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID)
            }
            Self::AuthenticationMethod => Some(ReasonCode::BAD_AUTHENTICATION_METHOD),
            Self::Auth(error) => Some(error.reason_code()),
            Self::Unserved | Self::ShuttingDown => Some(ReasonCode::SERVER_UNAVAILABLE),
        }
    }

    /// The CONNACK for a client whose CONNECT was understood; `maximum` is its Maximum Packet
    /// Size, which the Reason String must not exceed [MQTT-3.2.2-19], nor the packet [MQTT-3.1.2-24].
    pub(super) fn connack(&self, version: Version, maximum: Option<u32>) -> Option<Vec<u8>> {
        let reason = self.reason_code()?;
        let text = self.to_string();
        let maximum = maximum
            .and_then(|m| usize::try_from(m).ok())
            .unwrap_or(usize::MAX);
        let fits = |connack: &Vec<u8>| connack.len() <= maximum;
        encoded(version, reason, Some(&text))
            .filter(fits)
            .or_else(|| encoded(version, reason, None).filter(fits))
    }

    /// The CONNACK for a client whose CONNECT was not, as far as that can be answered: in MQTT 5
    /// to a client that speaks it; in 3.x the connection is just closed, except that an unknown
    /// version is told so ([MQTT-3.1.2-2]), a newer one than ours in MQTT 5's words.
    pub(super) fn connack_unread(&self, received: &[u8]) -> Option<Vec<u8>> {
        let reason = self.reason_code()?;
        let version = match (self, protocol_level(received)?) {
            (Self::Malformed(DecodeError::UnsupportedProtocolVersion(level)), _) => match level {
                5..0x80 => Version::V5,
                _ => Version::V311,
            },
            (_, 5) => Version::V5,
            _ => return None,
        };
        encoded(version, reason, None)
    }
}

fn encoded(version: Version, reason: ReasonCode, reason_string: Option<&str>) -> Option<Vec<u8>> {
    let connack = ConnAck {
        reason,
        reason_string,
        ..ConnAck::default()
    };
    let mut bytes = Vec::new();
    encode(&Packet::ConnAck(connack), version, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V5: &[u8] = b"\x10\x0d\0\x04MQTT\x05";
    const V311: &[u8] = b"\x10\x0c\0\x04MQTT\x04";

    #[test]
    fn credentials_and_missing_ones_have_codes_of_their_own() {
        let wrong = Refusal::Auth(AuthError::BadCredentials);
        assert_eq!(wrong.connack(Version::V311, None).unwrap(), [0x20, 2, 0, 4]);
        assert_eq!(
            wrong.connack(Version::V5, Some(5)).unwrap(),
            [0x20, 3, 0, 0x86, 0]
        );
        let none = Refusal::Auth(AuthError::AnonymousRefused);
        assert_eq!(none.connack(Version::V31, None).unwrap(), [0x20, 2, 0, 5]);
        let busy = Refusal::Auth(AuthError::Busy);
        assert_eq!(busy.connack(Version::V311, None).unwrap(), [0x20, 2, 0, 3]);
    }

    #[test]
    fn mqtt_5_clients_are_told_in_words_unless_their_packets_are_small() {
        let text = Refusal::ClientIdEmpty.to_string();
        let connack = Refusal::ClientIdEmpty.connack(Version::V5, None).unwrap();
        assert!(
            connack
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        );
        let short = Refusal::ClientIdEmpty
            .connack(Version::V5, Some(20))
            .unwrap();
        assert_eq!(short, [0x20, 3, 0, 0x85, 0]);
        assert_eq!(Refusal::ClientIdEmpty.connack(Version::V5, Some(4)), None);
    }

    #[test]
    fn malformed_packets_are_answered_in_mqtt_5_only() {
        let malformed = Refusal::Malformed(DecodeError::Truncated);
        assert_eq!(malformed.connack_unread(V5).unwrap(), [0x20, 3, 0, 0x81, 0]);
        assert_eq!(malformed.connack_unread(V311), None);
        assert_eq!(malformed.connack_unread(b"\x10"), None);
        assert_eq!(Refusal::NotConnect(0).connack_unread(V5), None);
    }

    #[test]
    fn unknown_versions_are_told_so_in_the_form_that_they_read() {
        for (level, connack) in [
            (2, &[0x20, 2, 0, 1][..]),
            (6, &[0x20, 3, 0, 0x84, 0]),
            (0x86, &[0x20, 2, 0, 1]),
        ] {
            let refusal = Refusal::Malformed(DecodeError::UnsupportedProtocolVersion(level));
            let mut received = V311.to_vec();
            received[8] = level;
            assert_eq!(refusal.connack_unread(&received).unwrap(), connack);
        }
    }
}
