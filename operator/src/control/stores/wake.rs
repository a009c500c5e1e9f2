//! Who wakes a controller for an object that did not change itself.

use std::collections::HashMap;

use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::control::{Guarded, reference};
use crate::instance::MqttInstance;
use crate::parent_topic::ParentTopic;
use crate::user::MqttUser;

/// Wakes controllers: the senders by namespace, the empty one for all.
#[derive(Default)]
pub struct Wake {
    instances: HashMap<String, UnboundedSender<ObjectRef<Guarded<MqttInstance>>>>,
    parents: HashMap<String, UnboundedSender<ObjectRef<Guarded<ParentTopic>>>>,
    users: HashMap<String, UnboundedSender<ObjectRef<Guarded<MqttUser>>>>,
}

/// Where the references come that are to be looked at.
pub type Woken<K> = UnboundedReceiver<ObjectRef<Guarded<K>>>;

impl Wake {
    /// The three queues of one namespace (empty: of all).
    pub fn queues(
        &mut self,
        namespace: &str,
    ) -> (Woken<MqttInstance>, Woken<ParentTopic>, Woken<MqttUser>) {
        let (instances, of_instances) = unbounded_channel();
        let (parents, of_parents) = unbounded_channel();
        let (users, of_users) = unbounded_channel();
        self.instances.insert(namespace.to_owned(), instances);
        self.parents.insert(namespace.to_owned(), parents);
        self.users.insert(namespace.to_owned(), users);
        (of_instances, of_parents, of_users)
    }

    fn send<K: Resource<DynamicType = ()>>(
        queues: &HashMap<String, UnboundedSender<ObjectRef<Guarded<K>>>>,
        namespace: &str,
        name: &str,
    ) {
        if let Some(queue) = queues.get(namespace).or_else(|| queues.get("")) {
            // A controller that has ended looks at nothing any more.
            let _ = queue.send(reference(namespace, name));
        }
    }

    /// An instance is to be looked at.
    pub fn instance(&self, namespace: &str, name: &str) {
        Self::send(&self.instances, namespace, name);
    }

    /// A parent topic is to be looked at.
    pub fn parent(&self, namespace: &str, name: &str) {
        Self::send(&self.parents, namespace, name);
    }

    /// A user is to be looked at.
    pub fn user(&self, namespace: &str, name: &str) {
        Self::send(&self.users, namespace, name);
    }
}
