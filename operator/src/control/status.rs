//! Writes a status, and only when it says something new.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Context, Error, Guarded};
use crate::instance::objects::MANAGER;

/// What the controllers read of any kind's status.
pub trait Report: Clone + Debug + Default + PartialEq + Serialize {
    /// Its conditions.
    fn conditions(&self) -> &[Condition];
}

/// Writes `new` where it differs from `old`; a whole status, so that what is not said any more goes.
///
/// # Errors
/// The API server does not take it.
pub async fn write<K, S>(ctx: &Context, of: &K, old: Option<&S>, new: &S) -> Result<(), Error>
where
    K: Resource<DynamicType = ()>,
    S: Report,
{
    if old == Some(new) {
        return Ok(());
    }
    let namespace = of.namespace().unwrap_or_default();
    patch::<K>(ctx, &namespace, &of.name_any(), serde_json::to_value(new)?).await
}

async fn patch<K>(ctx: &Context, namespace: &str, name: &str, status: Value) -> Result<(), Error>
where
    K: Resource<DynamicType = ()>,
{
    let resource = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(ctx.client.clone(), namespace, &resource);
    // Applied, so that what is said no more goes.
    let body = json!({
        "apiVersion": resource.api_version, "kind": resource.kind,
        "metadata": {"name": name, "namespace": namespace}, "status": status,
    });
    let params = PatchParams::apply(MANAGER).force();
    let written = api.patch_status(name, &params, &Patch::Apply(body)).await;
    ctx.metrics.written(&K::kind(&()), "status");
    match written {
        // Deleted meanwhile.
        Err(kube::Error::Api(error)) if error.code == 404 => Ok(()),
        other => {
            other?;
            Ok(())
        }
    }
}

/// The status of an object that is not even of its kind: it came past the schema.
///
/// # Errors
/// The API server does not take it.
pub async fn undecodable<K>(ctx: &Context, of: &Guarded<K>, error: &str) -> Result<(), Error>
where
    K: Resource<DynamicType = ()>,
{
    let meta = of.meta();
    let uid = meta.uid.clone().unwrap_or_default();
    let generation = meta.generation;
    // Its old status cannot be read, either: said once for each generation and fault.
    let said = format!("{generation:?} {error}");
    if !ctx.applied.says_anew(&uid, &said) {
        return Ok(());
    }
    let message = format!("{error}: correct the field, or delete the resource");
    let wanted = [
        super::conditions::Wanted::new("Ready", false, "InvalidSpec", message.clone()),
        super::conditions::Wanted::new("Stalled", true, "InvalidSpec", message),
    ];
    let conditions = super::conditions::set(&[], &wanted, generation);
    let status = json!({"observedGeneration": generation, "conditions": conditions});
    let namespace = meta.namespace.clone().unwrap_or_default();
    let name = meta.name.clone().unwrap_or_default();
    patch::<K>(ctx, &namespace, &name, status).await
}
