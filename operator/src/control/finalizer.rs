//! Finalizers: there only while a deletion has something to do, and never for long.

use std::fmt::Debug;

use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Context, Error, Guarded};

/// How long a deletion waits for Kafka, seconds.
const PATIENCE: i64 = 60;

/// Whether an object has it.
#[must_use]
pub fn has<K: Resource>(object: &K, finalizer: &str) -> bool {
    object.finalizers().iter().any(|found| found == finalizer)
}

/// Whether a deletion has waited for long enough.
#[must_use]
pub fn waited<K: Resource>(object: &K) -> bool {
    let asked = object.meta().deletion_timestamp.as_ref();
    asked.is_none_or(|asked| Timestamp::now().as_second() - asked.0.as_second() >= PATIENCE)
}

/// Puts it there, or takes it away; nobody else's is touched.
///
/// # Errors
/// The API server does not take it: the object has changed meanwhile.
pub async fn keep<K>(ctx: &Context, object: &K, finalizer: &str, wanted: bool) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned,
{
    if has(object, finalizer) == wanted {
        return Ok(());
    }
    let mut finalizers: Vec<&str> = object.finalizers().iter().map(String::as_str).collect();
    finalizers.retain(|found| *found != finalizer);
    if wanted {
        finalizers.push(finalizer);
    }
    let patch = json!({"metadata": {
        "finalizers": finalizers, "resourceVersion": object.resource_version(),
    }});
    merge(ctx, object, &patch).await
}

/// Merges a patch into an object.
///
/// # Errors
/// The API server does not take it.
pub async fn merge<K>(ctx: &Context, object: &K, patch: &serde_json::Value) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<Guarded<K>> = Api::namespaced(ctx.client.clone(), &namespace);
    let params = PatchParams::default();
    let (name, patch) = (object.name_any(), Patch::Merge(patch));
    let patched = api.patch(&name, &params, &patch).await;
    ctx.metrics.written(&K::kind(&()), "metadata");
    match patched {
        Err(kube::Error::Api(error)) if error.code == 404 => Ok(()),
        other => {
            other?;
            Ok(())
        }
    }
}
