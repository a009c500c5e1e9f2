//! Applies objects, and only those that are not what they are to be.
//!
//! Invariants: an object that the operator does not own is never touched; what is as it was applied is
//! not applied again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};

use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams,
};

use super::stores::Seen;
use super::{Context, Error};
use crate::instance::objects::{Kind, MANAGER, Object};

/// Kind, namespace and name.
pub(super) type Key = (Kind, String, String);

/// What was applied: a hash of what was sent, and how the object looked after it.
#[derive(Debug, Default)]
pub struct Applied {
    objects: Mutex<HashMap<Key, (u64, Seen)>>,
    said: Mutex<HashMap<String, String>>,
}

impl Applied {
    /// Whether this is something else than what was said last about an object.
    #[must_use]
    pub fn says_anew(&self, uid: &str, text: &str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.insert(uid.to_owned(), text.to_owned()).as_deref() != Some(text)
    }

    /// Whether an object is seen as it was after it was applied: no older, and by nobody changed.
    #[must_use]
    pub fn is_as_applied(&self, kind: Kind, namespace: &str, name: &str, seen: &Seen) -> bool {
        let key = (kind, namespace.to_owned(), name.to_owned());
        self.known(&key).is_some_and(|(_, known)| known == *seen)
    }

    fn known(&self, key: &Key) -> Option<(u64, Seen)> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.get(key).cloned()
    }

    fn note(&self, key: Key, what: (u64, Seen)) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.insert(key, what);
    }
}

/// What became of an object.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is what it is to be.
    Done,
    /// Somebody else's object has this name.
    Foreign,
    /// The API server refuses it, in these words.
    Refused(String),
}

pub(super) fn api(ctx: &Context, kind: Kind, namespace: &str) -> Api<DynamicObject> {
    let (group, version) = kind
        .api_version()
        .rsplit_once('/')
        .unwrap_or(("", kind.api_version()));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind.name()));
    Api::namespaced_with(ctx.client.clone(), namespace, &resource)
}

/// Brings an object to what it is to be; `owner` is the uid of its owner.
///
/// # Errors
/// The API server cannot be asked.
pub async fn apply(
    ctx: &Context,
    namespace: &str,
    owner: &str,
    object: &Object,
) -> Result<Outcome, Error> {
    let key = (object.kind, namespace.to_owned(), object.name.clone());
    let hash = {
        let mut hasher = DefaultHasher::new();
        object.body.to_string().hash(&mut hasher);
        hasher.finish()
    };
    let watched = !Kind::OPTIONAL.contains(&object.kind);
    if !watched && ctx.optional.is_fresh(&key, hash) {
        return Ok(Outcome::Done);
    }
    let seen = ctx.stores.seen(object.kind, namespace, &object.name);
    if let Some(seen) = &seen
        && ctx
            .applied
            .known(&key)
            .is_some_and(|known| known == (hash, seen.clone()))
    {
        return Ok(Outcome::Done);
    }
    let api = api(ctx, object.kind, namespace);
    // The watches show labelled objects only, and may be behind.
    let there = match seen {
        Some(seen) => Some(seen),
        None => api
            .get_opt(&object.name)
            .await?
            .map(|found| Seen::of(&found)),
    };
    if there
        .as_ref()
        .is_some_and(|there| !there.owners.iter().any(|uid| uid == owner))
    {
        return Ok(Outcome::Foreign);
    }
    let known = ctx.applied.known(&key);
    if !watched && known.is_some_and(|(of, seen)| of == hash && there == Some(seen)) {
        ctx.optional.note(key, hash);
        return Ok(Outcome::Done);
    }
    let params = PatchParams::apply(MANAGER).force();
    match api
        .patch(&object.name, &params, &Patch::Apply(&object.body))
        .await
    {
        Ok(applied) => {
            ctx.metrics.written(object.kind.name(), "apply");
            if !watched {
                ctx.optional.note(key.clone(), hash);
            }
            ctx.applied.note(key, (hash, Seen::of(&applied)));
            Ok(Outcome::Done)
        }
        // What it cannot convert it calls an error of its own.
        Err(kube::Error::Api(error))
            if matches!(error.code, 400 | 403 | 422) || error.message.contains("convert") =>
        {
            Ok(Outcome::Refused(error.message.clone()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Deletes an object of this owner that is not wanted any more.
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
    let Some(seen) = ctx.stores.seen(kind, namespace, name) else {
        return Ok(());
    };
    if !seen.owners.iter().any(|uid| uid == owner) {
        return Ok(());
    }
    let params = DeleteParams::default();
    match api(ctx, kind, namespace).delete(name, &params).await {
        Ok(_) => {
            ctx.metrics.written(kind.name(), "delete");
            Ok(())
        }
        Err(kube::Error::Api(error)) if error.code == 404 => Ok(()),
        Err(error) => Err(error.into()),
    }
}
