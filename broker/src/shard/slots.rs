//! Slots come and go. Whatever was to be written of a slot's earlier life here is forgotten before
//! writing about it is allowed again.

use super::Worker;
use isthmus_core::ownership::Event;
use isthmus_core::record::RecordError;

impl Worker {
    /// The slot is ours, with this state; its inbox is read from the position on.
    pub(super) fn restore_slot(
        &mut self,
        slot: u16,
        position: i64,
        records: &[(Vec<u8>, Vec<u8>)],
        term: u64,
    ) -> Result<(), RecordError> {
        self.drop_slot(slot);
        let (now, start) = (self.shared.clock.now(), self.shared.clock.start());
        self.shared.routes.write().claim(slot, now, start);
        self.shared.set_here(slot, true);
        self.shared.links.takes(&self.shared, slot);
        self.act(|core, view, fx| core.restore(view, slot, position, records, fx))?;
        self.serve(slot, position, term);
        Ok(())
    }

    /// The slot is ours again, and nobody else had it.
    pub(super) fn resume_slot(&mut self, slot: u16, term: u64) {
        let shared = self.shared.clone();
        let inbox = self.inbox.clone();
        let position = self.act(|core, view, fx| {
            let position = core.resume_slot(view, slot, fx)?;
            // Before what it commits now is submitted.
            if let Some(group) = shared.slots_group.get() {
                group.admit(&inbox, i32::from(slot), term);
            }
            Some(position)
        });
        if let Some(position) = position {
            self.serve(slot, position, term);
        }
        let in_memory = position.is_some();
        self.shared
            .tell_ownership(Event::Resumed { slot, in_memory });
    }

    /// Nothing of the slot is known here any more.
    pub(super) fn drop_slot(&mut self, slot: u16) {
        // Before whoever waits for the slot looks again.
        self.shared.routes.write().unclaim(slot);
        self.shared.set_here(slot, false);
        self.act(|core, view, fx| core.drop_slot(view, slot, fx));
        if let Some(kafka) = self.shared.kafka.get() {
            kafka.forget(slot);
        }
    }

    /// Goes on with slots that are given away.
    pub(super) fn finish_closing(&mut self) {
        for slot in self.act(|core, view, fx| core.closed(view, fx)) {
            self.drop_slot(slot);
            self.act(|core, view, fx| core.turn_away(view, slot, fx));
            self.shared.tell_ownership(Event::Closed(slot));
        }
    }

    /// Lets the slot be written about and read, unless its assignment has ended: then the word of
    /// that is under way.
    fn serve(&self, slot: u16, position: i64, term: u64) {
        let partition = i32::from(slot);
        if let Some(group) = self.shared.slots_group.get()
            && group.admit(&self.inbox, partition, term)
        {
            group.resume(&self.inbox, partition, Some(position));
        } else {
            tracing::info!(slot, "the slot's assignment has ended before it was opened");
        }
    }
}
