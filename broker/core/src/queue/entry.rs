//! One message of the durable queue in 16 bytes.

use isthmus_mqtt::QoS;

/// How far an entry is with its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Never sent.
    Queued,
    /// Sent, not acknowledged.
    Sent,
    /// PUBREC received; PUBREL is owed or sent.
    Released,
    /// Acknowledged, dropped or expired.
    Done,
}

/// One message of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// Offset in the inbox << 8, flags below: QoS (2 bits), RETAIN (1), state (2), shared (1).
    place: u64,
    /// Bytes of the message.
    pub size: u32,
    /// Expiry, epoch seconds rounded up; 0 never.
    pub expiry: u32,
}

impl Entry {
    /// A new entry, not sent.
    #[must_use]
    pub fn new(offset: i64, size: usize, qos: QoS, retain: bool, expires_at: Option<u64>) -> Self {
        let flags = qos as u64 | u64::from(retain) << 2;
        Self {
            place: offset.cast_unsigned() << 8 | flags,
            size: u32::try_from(size).unwrap_or(u32::MAX),
            expiry: expires_at.map_or(0, |ms| {
                u32::try_from(ms.div_ceil(1000)).unwrap_or(u32::MAX).max(1)
            }),
        }
    }

    /// Offset in the slot's inbox.
    #[must_use]
    pub fn offset(&self) -> i64 {
        (self.place >> 8).cast_signed()
    }

    /// QoS of the delivery.
    #[must_use]
    pub fn qos(&self) -> QoS {
        match self.place & 3 {
            0 => QoS::AtMostOnce,
            1 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        }
    }

    /// RETAIN flag of the delivery.
    #[must_use]
    pub fn retain(&self) -> bool {
        self.place & 4 != 0
    }

    /// It came by a shared subscription.
    #[must_use]
    pub fn shared(&self) -> bool {
        self.place & 32 != 0
    }

    /// The same, come by a shared subscription.
    #[must_use]
    pub fn by_share(mut self) -> Self {
        self.place |= 32;
        self
    }

    /// How far it is.
    #[must_use]
    pub fn state(&self) -> State {
        match self.place >> 3 & 3 {
            0 => State::Queued,
            1 => State::Sent,
            2 => State::Released,
            _ => State::Done,
        }
    }

    pub(super) fn set_state(&mut self, state: State) {
        self.place = self.place & !(3 << 3) | (state as u64) << 3;
    }

    pub(super) fn expired(&self, now: u64) -> bool {
        self.expiry != 0 && u64::from(self.expiry) * 1000 <= now
    }
}
