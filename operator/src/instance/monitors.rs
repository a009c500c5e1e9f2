//! The objects of kinds that a cluster may not know. Whatever becomes of them holds nothing up: it is
//! said beside what `Ready` says.

use kube::ResourceExt as _;

use super::ValidInstance;
use super::objects::{HAS, Kind, MONITORING, Object};
use crate::control::apply::{self, Outcome};
use crate::control::stores::get;
use crate::control::{Context, Error, optional};

/// Applies one of them; what is to be said if that cannot be.
///
/// # Errors
/// The API server cannot be asked.
pub(super) async fn apply(
    ctx: &Context,
    instance: &ValidInstance,
    uid: &str,
    object: &Object,
) -> Result<Option<String>, Error> {
    let field = match object.kind {
        Kind::PodMonitor => "spec.monitoring.podMonitor",
        _ => "spec.monitoring.prometheusRule",
    };
    if !optional::is_known(ctx).await? {
        return Ok(Some(format!(
            "{field}: this cluster does not know {MONITORING}: install Prometheus's operator, it is looked for again by and by"
        )));
    }
    let outcome = apply::apply(ctx, &instance.namespace, uid, object).await?;
    let (kind, name) = (object.kind.name(), &object.name);
    Ok(match outcome {
        Outcome::Done => None,
        Outcome::Foreign => Some(format!(
            "{field}: {kind} {name} is there and not this instance's: delete or rename it"
        )),
        Outcome::Refused(said) => Some(format!("{field}: {kind} {name}: {said}")),
    })
}

/// Deletes those that the StatefulSet notes and that are not wanted any more.
///
/// # Errors
/// The API server cannot be asked.
pub(super) async fn remove(
    ctx: &Context,
    instance: &ValidInstance,
    uid: &str,
    wanted: &[Object],
) -> Result<(), Error> {
    let Some(set) = get(&ctx.stores.sets, &instance.namespace, &instance.name) else {
        return Ok(());
    };
    let Some(has) = set.annotations().get(HAS) else {
        return Ok(());
    };
    for kind in Kind::OPTIONAL {
        let noted = has.split(',').any(|noted| noted == kind.name());
        if noted && !wanted.iter().any(|object| object.kind == kind) {
            optional::remove(ctx, &instance.namespace, uid, kind, &instance.name).await?;
        }
    }
    Ok(())
}
