//! Events: what a person should know, once for each thing that is said.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};

use crate::instance::objects::MANAGER;

/// How an event names what it is about.
pub fn reference_of<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    object.object_ref(&())
}

/// Says events.
pub struct Events {
    recorder: Recorder,
    /// The last reason and text said about an object.
    said: Mutex<HashMap<String, String>>,
}

impl Events {
    /// In the name of this pod.
    #[must_use]
    pub fn new(client: Client, pod: Option<String>) -> Self {
        let reporter = Reporter {
            controller: MANAGER.to_owned(),
            instance: pod,
        };
        Self {
            recorder: Recorder::new(client, reporter),
            said: Mutex::default(),
        }
    }

    /// Something was done.
    pub async fn done(&self, about: &ObjectReference, reason: &str, note: &str) {
        self.publish(about, EventType::Normal, reason, note).await;
    }

    /// Something does not work; said again only when it is something else.
    pub async fn warn(&self, about: &ObjectReference, reason: &str, note: &str) {
        let text = format!("{reason} {note}");
        let uid = about.uid.clone().unwrap_or_default();
        {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if said.get(&uid) == Some(&text) {
                return;
            }
            said.insert(uid, text);
        }
        self.publish(about, EventType::Warning, reason, note).await;
    }

    async fn publish(&self, about: &ObjectReference, kind: EventType, reason: &str, note: &str) {
        let event = Event {
            type_: kind,
            reason: reason.to_owned(),
            // The API takes 1024 bytes.
            note: Some(note.chars().take(250).collect()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, about).await {
            tracing::warn!(%error, reason, "an event could not be said");
        }
    }

    /// An object is well, or gone: what was said about it counts no more.
    pub fn forget(&self, uid: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.remove(uid);
    }
}
