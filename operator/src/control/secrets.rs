//! What Secrets hold: asked for once for each version that the watch has seen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::Api;

use super::Context;
use super::stores::get;
use crate::instance::access::Data;

/// Namespace and name, and the version that was read.
type Known = HashMap<(String, String), (String, Arc<Data>)>;

/// The Secrets that were read.
#[derive(Default)]
pub struct Secrets(Mutex<Known>);

/// What a Secret holds, `None` where there is none.
///
/// # Errors
/// The API server cannot be asked.
pub async fn read(
    ctx: &Context,
    namespace: &str,
    name: &str,
) -> Result<Option<Arc<Data>>, kube::Error> {
    let key = (namespace.to_owned(), name.to_owned());
    let lock = || ctx.secrets.0.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = get(&ctx.stores.secrets, namespace, name);
    let Some(version) = seen.and_then(|seen| seen.resource_version()) else {
        // The watch wakes whoever waits for it.
        lock().remove(&key);
        return Ok(None);
    };
    if let Some((known, data)) = lock().get(&key)
        && *known == version
    {
        return Ok(Some(Arc::clone(data)));
    }
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), namespace);
    let Some(secret) = api.get_opt(name).await? else {
        return Ok(None);
    };
    let version = secret.resource_version().unwrap_or_default();
    let data = secret.data.unwrap_or_default();
    let data: Data = data
        .into_iter()
        .map(|(key, value)| (key, value.0))
        .collect();
    let data = Arc::new(data);
    lock().insert(key, (version, Arc::clone(&data)));
    Ok(Some(data))
}
