//! Publishers and subscribers: what each sends, takes and notes.

use super::payload;
use crate::client::Client;
use crate::wire::{self, Packet};
use anyhow::Context as _;
use hdrhistogram::Histogram;

/// One that sends.
pub(super) struct Publisher {
    pub(super) client: Client,
    pub(super) topic: String,
    pub(super) sent: u64,
    pub(super) done: u64,
    pub(super) delivered: u64,
    pub(super) next_id: u16,
    /// When the message with a packet id was due, by the id's lower bits.
    pub(super) due: Vec<u64>,
    pub(super) dirty: bool,
}

/// One that takes.
pub(super) struct Subscriber {
    pub(super) client: Client,
    /// The next number of each publisher.
    pub(super) next: Vec<u32>,
}

/// What an acknowledgement or a delivery changes.
pub(super) struct Tally {
    pub(super) acknowledged: Histogram<u64>,
    pub(super) delivered: Histogram<u64>,
    pub(super) received: u64,
    pub(super) recording: bool,
}

impl Tally {
    pub(super) fn record(histogram: &mut Histogram<u64>, recording: bool, now: u64, due: u64) {
        if recording {
            histogram.saturating_record(now.saturating_sub(due).max(1));
        }
    }
}

impl Publisher {
    pub(super) fn may_send(&self, fan: u64, window: u64) -> bool {
        self.client.has_room()
            && self.sent - self.done < window
            && (self.sent * fan).saturating_sub(self.delivered) < window * fan.max(1)
    }

    pub(super) fn publish(&mut self, qos: u8, number: usize, due: u64, payload: &mut [u8]) {
        payload::write(payload, due, number as u32, self.sent as u32);
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        wire::publish(
            &mut self.client.out,
            &self.topic,
            qos,
            self.next_id,
            payload,
        );
        let mask = self.due.len() - 1;
        if let Some(slot) = self.due.get_mut(usize::from(self.next_id) & mask) {
            *slot = due;
        }
        self.sent += 1;
        self.dirty = true;
        if qos == 0 {
            self.done += 1;
        }
    }

    pub(super) fn acks(
        &mut self,
        scratch: &mut [u8],
        tally: &mut Tally,
        now: u64,
    ) -> anyhow::Result<()> {
        let (due, done) = (&self.due, &mut self.done);
        self.client.read(scratch, |packet, out| {
            let Packet::Ack { kind, id } = packet else {
                anyhow::bail!("a publisher got {packet:?}");
            };
            let first = matches!(kind, wire::PUBACK | wire::PUBREC);
            if first {
                let due = due
                    .get(usize::from(id) & (due.len() - 1))
                    .copied()
                    .unwrap_or(now);
                Tally::record(&mut tally.acknowledged, tally.recording, now, due);
            }
            match kind {
                wire::PUBREC => wire::ack(out, wire::PUBREL, id),
                wire::PUBACK | wire::PUBCOMP => *done += 1,
                other => anyhow::bail!("a publisher got {other:#x}"),
            }
            Ok(())
        })
    }
}

impl Subscriber {
    pub(super) fn messages(
        &mut self,
        scratch: &mut [u8],
        publishers: &mut [Publisher],
        tally: &mut Tally,
        now: u64,
    ) -> anyhow::Result<()> {
        let next = &mut self.next;
        self.client.read(scratch, |packet, out| {
            let (qos, id, payload) = match packet {
                Packet::Publish { qos, id, payload } => (qos, id, payload),
                Packet::Ack {
                    kind: wire::PUBREL,
                    id,
                } => {
                    wire::ack(out, wire::PUBCOMP, id);
                    return Ok(());
                }
                other => anyhow::bail!("a subscriber got {other:?}"),
            };
            let (due, publisher, number) =
                payload::read(payload).context("not one of our payloads")?;
            let expected = next.get_mut(publisher).context("an unknown publisher")?;
            anyhow::ensure!(
                number == *expected,
                "message {number} of publisher {publisher} came where {expected} is next"
            );
            *expected += 1;
            tally.received += 1;
            if let Some(publisher) = publishers.get_mut(publisher) {
                publisher.delivered += 1;
            }
            Tally::record(&mut tally.delivered, tally.recording, now, due);
            match qos {
                0 => {}
                1 => wire::ack(out, wire::PUBACK, id),
                _ => wire::ack(out, wire::PUBREC, id),
            }
            Ok(())
        })
    }
}
