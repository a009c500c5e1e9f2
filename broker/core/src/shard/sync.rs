//! A SUBACK means that every linked pod routes to the subscription: it waits for their word, for a
//! bounded time. A pod that is not linked reads the routes from the log.

use super::commit::{Answer, Retained};
use super::effect::{Effect, Token};
use super::{Shard, View};
use rustc_hash::FxHashMap;

/// How long an answer waits for the other pods, ms: of a session that ends with its connection, and
/// of one that outlives it.
const PATIENCE: u64 = 200;
const DURABLE_PATIENCE: u64 = 1000;

/// The answers that wait for other pods.
#[derive(Default)]
pub(super) struct Syncs {
    asked: FxHashMap<Token, Asked>,
}

struct Asked {
    until: u64,
    /// Committed, or without a need for that.
    answer: Option<Answer>,
}

impl Syncs {
    pub(super) fn len(&self) -> usize {
        self.asked.len()
    }

    /// Puts retained messages behind an answer that still waits; else yields them.
    pub(super) fn put_behind(&mut self, sync: Option<Token>, messages: Retained) -> Retained {
        let asked = sync.and_then(|token| self.asked.get_mut(&token));
        match asked.and_then(|asked| asked.answer.as_mut()) {
            Some(answer) => {
                answer.retained.extend(messages);
                Vec::new()
            }
            None => messages,
        }
    }
}

impl Shard {
    /// Asks the linked pods whether they have applied what this shard has said of its routes.
    pub(super) fn sync(
        &mut self,
        view: View<'_>,
        durable: bool,
        fx: &mut Vec<Effect>,
    ) -> Option<Token> {
        if !view.routes.is_linked() {
            return None;
        }
        let token = self.token();
        let patience = if durable { DURABLE_PATIENCE } else { PATIENCE };
        let asked = Asked {
            until: view.now + patience,
            answer: None,
        };
        self.syncs.asked.insert(token, asked);
        fx.push(Effect::Sync(token));
        Some(token)
    }

    /// Gives an answer, at once where nobody's word is waited for any more.
    pub(super) fn answer(
        &mut self,
        view: View<'_>,
        sync: Option<Token>,
        answer: Answer,
        fx: &mut Vec<Effect>,
    ) {
        match sync.and_then(|token| self.syncs.asked.get_mut(&token)) {
            Some(asked) => asked.answer = Some(answer),
            None => self.say(view, answer, fx),
        }
    }

    /// All linked pods have applied the routes that this token asked about.
    pub fn synced(&mut self, view: View<'_>, token: Token, fx: &mut Vec<Effect>) {
        let asked = self.syncs.asked.remove(&token);
        if let Some(answer) = asked.and_then(|asked| asked.answer) {
            self.say(view, answer, fx);
        }
    }

    /// A pod that does not answer is not waited for any longer.
    pub(super) fn end_late_syncs(&mut self, view: View<'_>, fx: &mut Vec<Effect>) {
        let asked = self.syncs.asked.iter();
        let late = asked.filter(|(_, asked)| asked.until <= view.now);
        for token in late.map(|(token, _)| *token).collect::<Vec<_>>() {
            self.synced(view, token, fx);
        }
    }

    fn say(&mut self, view: View<'_>, answer: Answer, fx: &mut Vec<Effect>) {
        let open = self.conns.get_mut(&answer.conn);
        let Some(conn) = open.filter(|conn| !conn.closing) else {
            return;
        };
        conn.outbox.extend_from_slice(&answer.bytes);
        let key = conn.session;
        self.touch(answer.conn);
        self.send_retained(view, key, answer.retained, fx);
    }
}
