//! Everything that is watched, and who is woken by what.
//!
//! One watch for each kind and namespace. Of Secrets only the metadata is kept: a controller asks for
//! the one that it needs when its version is a new one.

mod seen;
mod wake;

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, ObjectMeta, PartialObjectMeta};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::watcher::{Config, Error, watcher};
use kube::runtime::{WatchStreamExt as _, reflector};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::Guarded;
use crate::instance::MqttInstance;
use crate::instance::access::needed;
use crate::instance::objects::{INSTANCE, Kind, MANAGED_BY, MANAGER, authority_secret};
use crate::parent_topic::ParentTopic;
use crate::user::MqttUser;
pub use seen::Seen;
pub use wake::{Wake, Woken};

/// How soon a store is asked again whether it has been filled.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Watches of one kind, one for each namespace that is watched.
pub type Of<K> = Vec<Store<K>>;

/// Everything that is watched.
pub struct Stores {
    /// The instances.
    pub instances: Of<Guarded<MqttInstance>>,
    /// The parent topics.
    pub parents: Of<Guarded<ParentTopic>>,
    /// The users.
    pub users: Of<Guarded<MqttUser>>,
    /// The brokers' StatefulSets.
    pub sets: Of<StatefulSet>,
    /// The brokers.
    pub pods: Of<Pod>,
    /// The brokers' Services.
    pub services: Of<Service>,
    /// All Secrets.
    pub secrets: Of<PartialObjectMeta<Secret>>,
    config_maps: Of<PartialObjectMeta<ConfigMap>>,
    accounts: Of<PartialObjectMeta<ServiceAccount>>,
    policies: Of<PartialObjectMeta<NetworkPolicy>>,
    budgets: Of<PartialObjectMeta<PodDisruptionBudget>>,
    wake: Wake,
}

/// What the watches tell, until they are driven.
pub type Told = Vec<std::pin::Pin<Box<dyn Stream<Item = Change> + Send>>>;

/// Something that is watched has changed.
pub enum Change {
    /// An object of an instance.
    OfInstance(String, String),
    /// A Secret of any kind.
    Secret(String, String),
    /// A parent topic or user: its instance has to look after the directory.
    Resource(String, Option<String>),
}

/// The objects of one namespace, or of all.
pub(super) fn api<K>(client: &Client, namespace: &str) -> Api<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        "" => Api::all(client.clone()),
        one => Api::namespaced(client.clone(), one),
    }
}

impl Stores {
    /// Watches of what the controllers do not watch themselves; `told` is to be driven.
    #[must_use]
    pub fn new(client: &Client, namespaces: &[String], wake: Wake) -> (Self, Told) {
        let mut told: Told = Vec::new();
        let ours = Config::default().labels(&format!("{MANAGED_BY}={MANAGER}"));
        let mut stores = Self {
            instances: Vec::new(),
            parents: Vec::new(),
            users: Vec::new(),
            sets: Vec::new(),
            pods: Vec::new(),
            services: Vec::new(),
            secrets: Vec::new(),
            config_maps: Vec::new(),
            accounts: Vec::new(),
            policies: Vec::new(),
            budgets: Vec::new(),
            wake,
        };
        for namespace in namespaces {
            stores
                .sets
                .push(watched(client, namespace, &ours, &mut told));
            stores
                .pods
                .push(watched(client, namespace, &ours, &mut told));
            stores
                .services
                .push(watched(client, namespace, &ours, &mut told));
            stores
                .config_maps
                .push(watched(client, namespace, &ours, &mut told));
            stores
                .accounts
                .push(watched(client, namespace, &ours, &mut told));
            stores
                .policies
                .push(watched(client, namespace, &ours, &mut told));
            stores
                .budgets
                .push(watched(client, namespace, &ours, &mut told));
            let (reader, writer) = store();
            let events = watcher(
                api::<PartialObjectMeta<Secret>>(client, namespace),
                Config::default(),
            );
            told.push(changes(
                reflector(writer, events.default_backoff()),
                |secret| Change::Secret(secret.namespace().unwrap_or_default(), secret.name_any()),
            ));
            stores.secrets.push(reader);
        }
        (stores, told)
    }

    /// Whoever this concerns is woken.
    pub fn changed(&self, change: Change) {
        match change {
            Change::OfInstance(namespace, name) => self.wake.instance(&namespace, &name),
            Change::Resource(namespace, Some(name)) => self.wake.instance(&namespace, &name),
            Change::Resource(_, None) => {}
            Change::Secret(namespace, name) => {
                for user in self.users_of_secret(&namespace, &name) {
                    self.wake.user(&namespace, &user);
                }
                for instance in self.instances_of_secret(&namespace, &name) {
                    self.wake.instance(&namespace, &instance);
                }
            }
        }
    }

    fn instances_of_secret(&self, namespace: &str, secret: &str) -> Vec<String> {
        all(&self.instances)
            .filter(|instance| instance.namespace().as_deref() == Some(namespace))
            .filter_map(|instance| {
                let kafka = &instance.0.as_ref().ok()?.spec.kafka;
                let name = instance.name_any();
                let named = authority_secret(&name) == secret
                    || needed(kafka.tls.as_ref(), kafka.sasl.as_ref())
                        .iter()
                        .any(|needed| needed == secret);
                named.then_some(name)
            })
            .collect()
    }

    fn users_of_secret(&self, namespace: &str, secret: &str) -> Vec<String> {
        all(&self.users)
            .filter(|user| user.namespace().as_deref() == Some(namespace))
            .filter_map(|user| {
                let spec = &user.0.as_ref().ok()?.spec;
                let name = user.name_any();
                let named = match (&spec.password_secret_ref, &spec.generated_secret_name) {
                    (Some(given), _) => given.name == secret,
                    (None, Some(generated)) => generated == secret,
                    (None, None) => format!("{name}-mqtt") == secret,
                };
                named.then_some(name)
            })
            .collect()
    }

    /// Everything is to be looked at.
    pub fn wake_all(&self) {
        let place = |meta: &ObjectMeta| {
            let name = meta.name.clone().unwrap_or_default();
            (meta.namespace.clone().unwrap_or_default(), name)
        };
        for object in all(&self.instances) {
            let (namespace, name) = place(object.meta());
            self.wake.instance(&namespace, &name);
        }
        for object in all(&self.parents) {
            let (namespace, name) = place(object.meta());
            self.wake.parent(&namespace, &name);
        }
        for object in all(&self.users) {
            let (namespace, name) = place(object.meta());
            self.wake.user(&namespace, &name);
        }
    }

    /// All parent topics and users of an instance are to be looked at.
    pub fn wake_those_of(&self, namespace: &str, instance: &str) {
        for parent in all(&self.parents).filter(|p| p.namespace().as_deref() == Some(namespace)) {
            if parent
                .0
                .as_ref()
                .is_ok_and(|p| p.spec.instance_ref.name == instance)
            {
                self.wake.parent(namespace, &parent.name_any());
            }
        }
        for user in all(&self.users).filter(|u| u.namespace().as_deref() == Some(namespace)) {
            if user
                .0
                .as_ref()
                .is_ok_and(|u| u.spec.instance_ref.name == instance)
            {
                self.wake.user(namespace, &user.name_any());
            }
        }
    }

    /// Wakes single objects.
    #[must_use]
    pub fn wake(&self) -> &Wake {
        &self.wake
    }

    /// Every store has been filled once. To be waited for by one task only: a store wakes no other.
    ///
    /// # Errors
    /// A watch has ended.
    pub async fn ready(&self) -> Result<(), reflector::store::WriterDropped> {
        filled(&self.instances).await?;
        filled(&self.parents).await?;
        filled(&self.users).await?;
        filled(&self.sets).await?;
        filled(&self.pods).await?;
        filled(&self.services).await?;
        filled(&self.secrets).await?;
        filled(&self.config_maps).await?;
        filled(&self.accounts).await?;
        filled(&self.policies).await?;
        filled(&self.budgets).await
    }

    /// The metadata of an object of the operator's as it was last seen.
    #[must_use]
    pub fn seen(&self, kind: Kind, namespace: &str, name: &str) -> Option<Seen> {
        match kind {
            Kind::Secret => seen(&self.secrets, namespace, name),
            Kind::ConfigMap => seen(&self.config_maps, namespace, name),
            Kind::ServiceAccount => seen(&self.accounts, namespace, name),
            Kind::Service => seen(&self.services, namespace, name),
            Kind::NetworkPolicy => seen(&self.policies, namespace, name),
            Kind::PodDisruptionBudget => seen(&self.budgets, namespace, name),
            Kind::StatefulSet => seen(&self.sets, namespace, name),
            Kind::PodMonitor | Kind::PrometheusRule => None,
        }
    }
}

fn seen<K>(stores: &[Store<K>], namespace: &str, name: &str) -> Option<Seen>
where
    K: Resource + Clone,
    K::DynamicType: Eq + Hash + Clone + Default,
{
    get(stores, namespace, name).map(|object| Seen::of(&*object))
}

/// The object of this name.
#[must_use]
pub fn get<K>(stores: &[Store<K>], namespace: &str, name: &str) -> Option<Arc<K>>
where
    K: Resource + Clone,
    K::DynamicType: Eq + Hash + Clone + Default,
{
    let key = ObjectRef::new_with(name, K::DynamicType::default()).within(namespace);
    stores.iter().find_map(|store| store.get(&key))
}

/// All objects.
pub fn all<K>(stores: &[Store<K>]) -> impl Iterator<Item = Arc<K>>
where
    K: Resource + Clone,
    K::DynamicType: Eq + Hash + Clone + Default,
{
    stores.iter().flat_map(Store::state)
}

async fn filled<K>(stores: &[Store<K>]) -> Result<(), reflector::store::WriterDropped>
where
    K: Resource + Clone,
    K::DynamicType: Eq + Hash + Clone + Default,
{
    for store in stores {
        // It wakes only the last that waits for it, which may be the controller that it belongs to.
        loop {
            if let Ok(filled) = timeout(ASK_AGAIN, store.wait_until_ready()).await {
                break filled?;
            }
        }
    }
    Ok(())
}

fn watched<K>(client: &Client, namespace: &str, config: &Config, told: &mut Told) -> Store<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (reader, writer) = store();
    let events = watcher(api::<K>(client, namespace), config.clone()).default_backoff();
    told.push(changes(reflector(writer, events), of_instance));
    reader
}

fn of_instance<K: Resource>(object: &K) -> Change {
    let namespace = object.namespace().unwrap_or_default();
    let name = object.labels().get(INSTANCE).cloned();
    Change::OfInstance(namespace, name.unwrap_or_default())
}

/// Follows parent topics or users for their instances' sake, deletions included.
pub fn follow<K>(
    client: &Client,
    namespace: &str,
    instance: impl Fn(&K) -> String + Send + 'static,
) -> std::pin::Pin<Box<dyn Stream<Item = Change> + Send>>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let events = watcher(api::<Guarded<K>>(client, namespace), Config::default());
    changes(events.default_backoff(), move |object: &Guarded<K>| {
        let name = object.0.as_ref().ok().map(&instance);
        Change::Resource(object.namespace().unwrap_or_default(), name)
    })
}

fn changes<K>(
    events: impl Stream<Item = Result<kube::runtime::watcher::Event<K>, Error>> + Send + 'static,
    change: impl Fn(&K) -> Change + Send + 'static,
) -> std::pin::Pin<Box<dyn Stream<Item = Change> + Send>>
where
    K: Clone + Send + 'static,
{
    let touched = events.touched_objects().filter_map(|object| async {
        object
            .map_err(|error| tracing::warn!(%error, "a watch is begun again"))
            .ok()
    });
    touched.map(move |object| change(&object)).boxed()
}
