//! The directory as the core asks for it.

use crate::directory::Snapshot;
use crate::shared::Shared;
use isthmus_config::AclRule;
use isthmus_core::acl::{Acl, Action};
use isthmus_core::shard::{Directory, Parent};
use isthmus_kafka::directory::ParentType;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// One state of the directory, parents ready for the data path.
pub(super) struct Rights {
    snapshot: Arc<Snapshot>,
    parents: FxHashMap<Box<str>, Arc<Parent>>,
    anonymous: Vec<AclRule>,
}

impl Rights {
    pub(super) fn new(shared: &Shared) -> Self {
        let mut rights = Self {
            snapshot: Arc::default(),
            parents: FxHashMap::default(),
            anonymous: shared.config.authentication.anonymous_acl.clone(),
        };
        rights.refresh(shared);
        rights
    }

    pub(super) fn refresh(&mut self, shared: &Shared) {
        self.snapshot = shared.directory.snapshot();
        let parents = self.snapshot.parents.iter().map(|(name, parent)| {
            let parent = Parent {
                kafka_topic: parent.kafka_topic.clone(),
                ordered: parent.kind == ParentType::PartitionOrdered,
                max_message_bytes: parent.max_message_bytes,
            };
            (Box::from(&**name), Arc::new(parent))
        });
        self.parents = parents.collect();
    }
}

impl Directory for Rights {
    fn parent(&self, first_level: &str) -> Option<Arc<Parent>> {
        self.parents.get(first_level).cloned()
    }

    fn acl(&self, username: Option<&str>, client_id: &str) -> Acl {
        let rules = match username {
            None => &self.anonymous[..],
            Some(name) => self.snapshot.acls.get(name).map_or(&[][..], |rules| rules),
        };
        let rules = rules.iter().map(|rule| (&*rule.topic, action(rule.action)));
        Acl::bind(rules, username.unwrap_or_default(), client_id)
    }

    fn is_user(&self, username: &str) -> bool {
        self.snapshot
            .users
            .get(username)
            .is_some_and(|user| user.enabled)
    }
}

fn action(action: isthmus_config::Action) -> Action {
    match action {
        isthmus_config::Action::PubSub => Action::PubSub,
        isthmus_config::Action::Pub => Action::Pub,
        isthmus_config::Action::Sub => Action::Sub,
    }
}
