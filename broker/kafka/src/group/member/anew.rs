//! A member that begins anew after another took its instance id, or that wants to be looked at anew.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;

use super::super::GroupEvent;
use super::super::client::consumer;
use super::super::shared::Command;
use super::Member;
use crate::support::{read, write};

/// How long a member has nothing before it asks whether that is right.
const IDLE: Duration = Duration::from_secs(5);

impl Member {
    /// Waits for the word to join again, with a new client: one that was fenced is of no use.
    pub(super) fn begin_anew(self, commands: &Receiver<Command>, reason: String) -> Option<Self> {
        let (shared, published) = (Arc::clone(&self.shared), Arc::clone(&self.published));
        let wake = self.commands.clone();
        self.close();
        shared.say(GroupEvent::Fatal(reason));
        let told = commands
            .iter()
            .find(|command| matches!(command, Command::Rejoin | Command::Close));
        if !matches!(told, Some(Command::Rejoin)) {
            return None;
        }
        shared.ended.store(false, Ordering::Release);
        shared.choked.store(false, Ordering::Release);
        shared.changes();
        let anew = consumer(&shared, &wake).map(Arc::new).and_then(|consumer| {
            write(&published).replace(Arc::clone(&consumer));
            let member = Self::new(shared, consumer, published, wake);
            member.subscribe().map(|()| member)
        });
        match anew {
            Ok(member) => Some(member),
            Err(error) => {
                tracing::error!(%error, "no new consumer for the group");
                None
            }
        }
    }

    /// A static member that died while it claimed nothing, and is back within the session timeout, is
    /// given what it had then: nothing; the coordinator looks at what it wants now only when it
    /// joins with another subscription once more. Most who have nothing get their share when the others
    /// have given it up, so this waits for a while.
    pub(super) fn ask_again(&mut self) {
        if self.idle.take_if(|since| since.elapsed() >= IDLE).is_none() {
            return;
        }
        let asks =
            !self.resubscribed && self.leaving.is_none() && self.shared.config.park.is_some();
        if asks && read(&self.shared.owned).is_empty() {
            self.divide_anew();
        }
    }

    /// librdkafka joins again only for another subscription.
    pub(super) fn divide_anew(&mut self) {
        self.resubscribed = true;
        self.parks = !self.parks;
        self.say(self.subscribe());
    }

    /// Subscribes to the parking topic alone.
    pub(super) fn narrow(&mut self) {
        self.pulse.quicken();
        self.resubscribed = true;
        let park: Vec<&str> = self.shared.config.park.iter().map(String::as_str).collect();
        if park.is_empty() {
            self.consumer.unsubscribe();
        } else {
            self.say(self.consumer.subscribe(&park));
        }
    }
}
