//! Kinds that a cluster may not know: asked for seldom, applied without a watch.
//!
//! Invariant: an instance that wants none of them causes no request, one that does a few an hour.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::apply::{Key, api};
use super::{Context, Error};
use crate::instance::objects::{Kind, MONITORING};

/// How old what is known of them may be.
const KNOWN: Duration = Duration::from_secs(600);

/// What is known of them.
#[derive(Debug, Default)]
pub struct Optional {
    api: Mutex<Option<(Instant, bool)>>,
    applied: Mutex<HashMap<Key, (u64, Instant)>>,
}

impl Optional {
    /// Whether this was applied not long ago.
    pub(super) fn is_fresh(&self, key: &Key, hash: u64) -> bool {
        let applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        applied
            .get(key)
            .is_some_and(|(of, at)| *of == hash && at.elapsed() < KNOWN)
    }

    pub(super) fn note(&self, key: Key, hash: u64) {
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        applied.insert(key, (hash, Instant::now()));
    }

    pub(super) fn forget(&self, key: &Key) {
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        applied.remove(key);
    }
}

/// Whether the cluster knows the kinds of Prometheus's operator.
///
/// # Errors
/// The API server cannot be asked.
pub async fn is_known(ctx: &Context) -> Result<bool, Error> {
    let lock = || {
        ctx.optional
            .api
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    };
    if let Some((at, known)) = *lock()
        && at.elapsed() < KNOWN
    {
        return Ok(known);
    }
    let known = match ctx.client.list_api_group_resources(MONITORING).await {
        Ok(list) => Kind::OPTIONAL.iter().all(|kind| {
            let mut there = list.resources.iter();
            there.any(|resource| resource.kind == kind.name())
        }),
        Err(kube::Error::Api(error)) if error.code == 404 => false,
        Err(error) => return Err(error.into()),
    };
    *lock() = Some((Instant::now(), known));
    Ok(known)
}

/// Deletes an object of this owner.
///
/// # Errors
/// The API server cannot be asked.
pub async fn remove(
    ctx: &Context,
    namespace: &str,
    owner: &str,
    kind: Kind,
    name: &str,
) -> Result<(), Error> {
    ctx.optional
        .forget(&(kind, namespace.to_owned(), name.to_owned()));
    // The kind may have gone with all its objects.
    let api = api(ctx, kind, namespace);
    let found = api.get_opt(name).await?;
    let owners = found.and_then(|found| found.metadata.owner_references);
    if !owners.iter().flatten().any(|of| of.uid == owner) {
        return Ok(());
    }
    match api.delete(name, &kube::api::DeleteParams::default()).await {
        Ok(_) => {
            ctx.metrics.written(kind.name(), "delete");
            Ok(())
        }
        Err(kube::Error::Api(error)) if error.code == 404 => Ok(()),
        Err(error) => Err(error.into()),
    }
}
