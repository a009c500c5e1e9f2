//! Whether a transactor goes on: what it is at, since when something waits for it, and what it was
//! told last. A thread that waits cannot say so; whoever asks here says it.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::support::lock;

/// What has not gone on for so long is said.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the module's description.
#[derive(Debug)]
pub(super) struct Progress {
    name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stage: &'static str,
    /// Since when something waits and nothing of it was answered.
    waiting: Option<Instant>,
    /// The last error since then.
    error: Option<String>,
    /// What was said of it, and stays as it is until something goes on.
    said: Option<String>,
}

impl Progress {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            state: Mutex::default(),
        }
    }

    /// What is done now, in words that follow "while".
    pub(super) fn at(&self, stage: &'static str) {
        lock(&self.state).stage = stage;
    }

    /// Something waits.
    pub(super) fn waits(&self) {
        lock(&self.state).waiting.get_or_insert_with(Instant::now);
    }

    /// Something did not work and is tried again.
    pub(super) fn failed(&self, error: &dyn std::fmt::Display) {
        lock(&self.state).error = Some(error.to_string());
    }

    /// Something was answered; `more` of it still waits.
    pub(super) fn went_on(&self, more: bool) {
        let mut state = lock(&self.state);
        state.error = None;
        let since = std::mem::replace(&mut state.waiting, more.then(Instant::now));
        if state.said.take().is_some() {
            let seconds = since.map_or(0, |since| since.elapsed().as_secs());
            drop(state);
            tracing::info!(client = %self.name, seconds, "transactions go on again");
        }
    }

    /// Why nothing goes on, once that has lasted too long; logged once.
    pub(super) fn stalled(&self) -> Option<String> {
        let mut state = lock(&self.state);
        if state.waiting?.elapsed() < PATIENCE {
            return None;
        }
        if let Some(said) = &state.said {
            return Some(said.clone());
        }
        let error = state.error.as_deref().unwrap_or("no error so far");
        let text = format!("stuck while {} ({error})", state.stage);
        tracing::warn!(
            client = %self.name, stage = state.stage, error,
            "no transaction has gone on for {} s", PATIENCE.as_secs()
        );
        state.said = Some(text.clone());
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long_ago() -> Option<Instant> {
        Instant::now().checked_sub(PATIENCE)
    }

    #[test]
    fn only_what_waits_for_long_is_stalled() {
        let progress = Progress::new("test");
        progress.at("committing");
        assert_eq!(progress.stalled(), None, "nothing waits");
        progress.waits();
        assert_eq!(progress.stalled(), None, "not for long");
        lock(&progress.state).waiting = long_ago();
        progress.waits();
        progress.failed(&"no coordinator");
        let said = Some("stuck while committing (no coordinator)".to_owned());
        assert_eq!(progress.stalled(), said);
        progress.at("beginning");
        progress.failed(&"another");
        assert_eq!(progress.stalled(), said, "said once");
        progress.went_on(true);
        assert_eq!(progress.stalled(), None);
        lock(&progress.state).waiting = long_ago();
        let said = Some("stuck while beginning (no error so far)".to_owned());
        assert_eq!(progress.stalled(), said);
        progress.went_on(false);
        assert!(lock(&progress.state).waiting.is_none());
    }
}
