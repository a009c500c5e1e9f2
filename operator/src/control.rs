//! The operator on a cluster: what all controllers share.
//!
//! Every kind goes the same way: dereference, validate (pure), build (pure), apply, report. Whatever a
//! controller reads comes from watched stores; the API server is asked only to change something, so an
//! idle operator asks nothing. Invariant: nothing is concluded from what is absent before every store
//! has been filled once.

pub mod age;
pub mod apply;
pub mod backoff;
pub mod conditions;
pub mod events;
pub mod finalizer;
pub mod http;
pub mod kafka;
pub mod leader;
pub mod metrics;
pub mod optional;
pub mod run;
pub mod secrets;
pub mod status;
pub mod stores;
pub mod verdict;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;

pub use kube::core::DeserializeGuard as Guarded;

use self::apply::Applied;
use self::backoff::Backoffs;
use self::events::Events;
use self::kafka::Kafkas;
use self::metrics::Metrics;
use self::optional::Optional;
use self::secrets::Secrets;
use self::stores::Stores;
use crate::instance::observe::Figures;
use crate::user::reconcile::Hashes;

/// How often what nobody tells is looked at again: Kafka's topics, the directory.
pub const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What every reconcile has at hand.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Everything that is watched.
    pub stores: Stores,
    /// The Kafka clusters of the instances.
    pub kafkas: Kafkas,
    /// What was applied, and how it looked then.
    pub applied: Applied,
    /// What a person should know.
    pub events: Events,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// How long each failing object waits.
    pub backoffs: Backoffs,
    /// What the brokers said of themselves.
    pub figures: Figures,
    /// Password hashes that were verified.
    pub hashes: Hashes,
    /// Kinds that the cluster may not know.
    pub optional: Optional,
    /// What Secrets hold.
    pub secrets: Secrets,
    /// The broker image of this release.
    pub broker_image: String,
}

/// Why a reconcile could not be finished; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server.
    #[error("Kubernetes: {0}")]
    Kube(#[from] kube::Error),
    /// An object of ours could not be written as JSON.
    #[error("cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// What is asked of Kafka; the status says it as well.
    #[error("{0}")]
    Later(String),
}

/// A reconcile's answer where all is well: to be looked at again by and by, spread over the time.
#[must_use]
pub fn settled(uid: &str) -> Action {
    let spread = uid.bytes().fold(0_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    Action::requeue(LOOK_AGAIN + Duration::from_millis(spread % 15_000))
}

/// A watched object by its namespace and name.
#[must_use]
pub fn reference<K>(namespace: &str, name: &str) -> ObjectRef<Guarded<K>>
where
    K: kube::Resource<DynamicType = ()>,
{
    ObjectRef::new(name).within(namespace)
}
