//! Who may do what, and which parents exist.

use isthmus_core::acl::{Acl, Action};
use isthmus_core::shard::{Directory, Parent};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) struct Rights {
    parents: BTreeMap<String, Arc<Parent>>,
    /// By clientId; who is not here may do everything.
    rules: BTreeMap<String, Vec<(String, Action)>>,
    pub(crate) deleted_users: BTreeSet<String>,
}

impl Default for Rights {
    /// Parents `p` and `q`, an ordered one `orderMsg2mq-o`.
    fn default() -> Self {
        let mut rights = Self {
            parents: BTreeMap::new(),
            rules: BTreeMap::new(),
            deleted_users: BTreeSet::new(),
        };
        rights.create("p", false);
        rights.create("q", false);
        rights.create("orderMsg2mq-o", true);
        rights
    }
}

impl Rights {
    pub(crate) fn create(&mut self, name: &str, ordered: bool) {
        let parent = Parent {
            kafka_topic: name.to_owned(),
            ordered,
            max_message_bytes: 100_000,
        };
        self.parents.insert(name.to_owned(), Arc::new(parent));
    }

    pub(crate) fn allow(&mut self, client: &str, rules: &[(&str, Action)]) {
        let rules = rules.iter().map(|(f, a)| ((*f).to_owned(), *a)).collect();
        self.rules.insert(client.to_owned(), rules);
    }
}

impl Directory for Rights {
    fn parent(&self, first_level: &str) -> Option<Arc<Parent>> {
        self.parents.get(first_level).cloned()
    }

    fn acl(&self, username: Option<&str>, client_id: &str) -> Acl {
        let all = vec![
            ("#".to_owned(), Action::PubSub),
            ("$SYS/#".to_owned(), Action::PubSub),
        ];
        let rules = self.rules.get(client_id).unwrap_or(&all);
        let rules = rules.iter().map(|(f, a)| (f.as_str(), *a));
        Acl::bind(rules, username.unwrap_or_default(), client_id)
    }

    fn is_user(&self, username: &str) -> bool {
        !self.deleted_users.contains(username)
    }
}
