//! What the broker sent: legal packets of a server in a legal order, in both codecs.

use isthmus_mqtt::{Packet, Version, decode, frame};

use super::expect::Expected;
use crate::compare::{Case, Verdict};

/// What came back.
#[derive(Debug, Default)]
pub struct Replies {
    /// The CONNACK's code.
    pub connack: Option<u8>,
    /// PUBACK, PUBREC, PUBCOMP, SUBACK, UNSUBACK and PINGRESP together.
    pub answers: usize,
    /// All packets.
    pub packets: usize,
}

/// Reads them; the version is that of the script's CONNECT.
///
/// # Errors
/// What is wrong with them.
pub fn replies(bytes: &[u8], expected: &Expected) -> Result<Replies, String> {
    match expected.version {
        Some(version) => read(bytes, version, expected),
        // A CONNECT that nobody can read may be answered in the version that it seems to have.
        None => {
            read(bytes, Version::V5, expected).or_else(|_| read(bytes, Version::V311, expected))
        }
    }
}

fn read(bytes: &[u8], version: Version, expected: &Expected) -> Result<Replies, String> {
    let mut replies = Replies::default();
    let mut rest = bytes;
    let mut ended = false;
    while let Some(found) = frame(rest, usize::MAX).map_err(|fault| fault.to_string())? {
        let (this, after) = rest.split_at(found.len);
        rest = after;
        let packet = decode(found, version).map_err(|fault| format!("{fault}: {this:02x?}"))?;
        let case = Case::new(this, version);
        if found.len <= crate::compare::MAX_PACKET && case.verdict() == Verdict::Unexplained {
            return Err(format!("the codecs differ: {}", case.describe()));
        }
        if ended {
            return Err(format!("after the end: {packet:?}"));
        }
        // An acknowledgement and a PINGRESP cannot be shorter; nobody takes less.
        let most = expected.maximum.unwrap_or(u32::MAX).max(4);
        if found.len > most as usize {
            return Err(format!("[MQTT-3.1.2-24]: {} bytes: {packet:?}", found.len));
        }
        // A CONNACK that the client does not take is left out, [MQTT-3.1.2-25].
        let unheard = most < 64;
        ended = replies.take(&packet, version, unheard)?;
    }
    Ok(replies)
}

impl Replies {
    /// Whether it was the last packet of a connection.
    fn take(
        &mut self,
        packet: &Packet<'_>,
        version: Version,
        unheard: bool,
    ) -> Result<bool, String> {
        let first = self.connack.is_none();
        self.packets += 1;
        let mut ends = false;
        match packet {
            Packet::ConnAck(connack) if first => {
                self.connack = Some(connack.reason.0);
                ends = connack.reason.is_error();
            }
            _ if first && !unheard => {
                return Err(format!("before CONNACK, [MQTT-3.2.0-1]: {packet:?}"));
            }
            Packet::Publish(_) | Packet::PubRel(_) => {}
            Packet::PubAck(_)
            | Packet::PubRec(_)
            | Packet::PubComp(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp => self.answers += 1,
            Packet::Disconnect(_) if version == Version::V5 => ends = true,
            other => return Err(format!("a server does not send {other:?}")),
        }
        Ok(ends)
    }
}
