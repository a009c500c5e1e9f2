//! One packet in both codecs: what each says, and whether that is the same.

use isthmus_mqtt::{DecodeError as Fault, Packet, Version};

use crate::classes;
use crate::theirs::{self, Theirs, comparable};
use crate::wire;

/// The largest packet that both take.
pub const MAX_PACKET: usize = 1 << 20;

/// What a codec says of bytes.
#[derive(Debug)]
pub enum Answer<P, E> {
    /// More bytes are needed.
    Incomplete,
    /// This is wrong.
    Refused(E),
    /// A packet, of so many bytes.
    Accepted(P, usize),
}

/// Both answers.
#[derive(Debug)]
pub struct Case<'a> {
    /// The connection's version.
    pub version: Version,
    /// The input.
    pub bytes: &'a [u8],
    /// What we say; absent properties have their defaults.
    pub ours: Answer<Packet<'a>, Fault>,
    /// What they say.
    pub theirs: Answer<Theirs, String>,
}

/// How two answers go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// The same packet.
    Equal,
    /// Both refuse.
    BothRefuse,
    /// Both wait for more.
    BothWait,
    /// Not the same, for a reason that stands in the specification: an index of
    /// [`classes::CLASSES`].
    Explained(usize),
    /// Not the same, and nobody knows why.
    Unexplained,
}

impl<'a> Case<'a> {
    /// Asks both.
    #[must_use]
    pub fn new(bytes: &'a [u8], version: Version) -> Self {
        let theirs = match theirs::decode(bytes, version, MAX_PACKET) {
            Ok(Some(packet)) => {
                let len = packet.len;
                Answer::Accepted(packet, len)
            }
            Ok(None) => Answer::Incomplete,
            Err(fault) => Answer::Refused(fault),
        };
        let ours = match isthmus_mqtt::frame(bytes, MAX_PACKET) {
            Ok(None) => Answer::Incomplete,
            Err(fault) => Answer::Refused(fault),
            Ok(Some(frame)) => match isthmus_mqtt::decode(frame, version) {
                Ok(packet) => Answer::Accepted(comparable(&packet, version), frame.len),
                Err(fault) => Answer::Refused(fault),
            },
        };
        Self {
            version,
            bytes,
            ours,
            theirs,
        }
    }

    /// The version of a CONNECT that we took, otherwise the connection's.
    #[must_use]
    pub fn spoken(&self) -> Version {
        match &self.ours {
            Answer::Accepted(Packet::Connect(connect), _) => connect.version,
            _ => self.version,
        }
    }

    /// Compares.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match (&self.ours, &self.theirs) {
            (Answer::Accepted(ours, len), Answer::Accepted(theirs, their_len))
                if len == their_len && *ours == theirs.view() =>
            {
                Verdict::Equal
            }
            (Answer::Refused(_), Answer::Refused(_)) => Verdict::BothRefuse,
            (Answer::Incomplete, Answer::Incomplete) => Verdict::BothWait,
            _ => classes::CLASSES
                .iter()
                .position(|class| class.holds(self))
                .map_or(Verdict::Unexplained, Verdict::Explained),
        }
    }

    /// Both answers in words.
    #[must_use]
    pub fn describe(&self) -> String {
        let ours = match &self.ours {
            Answer::Incomplete => "incomplete".to_owned(),
            Answer::Refused(fault) => format!("refused: {fault}"),
            Answer::Accepted(packet, len) => format!("{len} bytes: {packet:?}"),
        };
        let theirs = match &self.theirs {
            Answer::Incomplete => "incomplete".to_owned(),
            Answer::Refused(fault) => format!("refused: {fault}"),
            Answer::Accepted(packet, len) => format!("{len} bytes: {:?}", packet.view()),
        };
        format!(
            "{:?} {}\n  ours:   {ours}\n  theirs: {theirs}",
            self.version,
            crate::hex(self.bytes)
        )
    }
}

impl Case<'_> {
    pub(crate) fn fault(&self) -> Option<Fault> {
        match &self.ours {
            Answer::Refused(fault) => Some(*fault),
            _ => None,
        }
    }

    pub(crate) fn is(&self, fault: Fault) -> bool {
        self.fault() == Some(fault)
    }

    pub(crate) fn they(&self, shows: impl FnOnce(&Packet<'_>) -> bool) -> bool {
        matches!(&self.theirs, Answer::Accepted(packet, _) if shows(&packet.view()))
    }

    pub(crate) fn we(&self, shows: impl FnOnce(&Packet<'_>) -> bool) -> bool {
        matches!(&self.ours, Answer::Accepted(packet, _) if shows(packet))
    }

    /// Whether they read the same without the packet's last byte.
    pub(crate) fn same_without_last_byte(&self) -> bool {
        let Some((first, [body @ .., _])) = wire::head(self.bytes) else {
            return false;
        };
        let shorter = wire::join(first, body);
        match Case::new(&shorter, self.version).theirs {
            Answer::Accepted(shorter, _) => self.they(|packet| *packet == shorter.view()),
            _ => false,
        }
    }
}
