//! Brings an `MqttUser` about: its password's Secret, its account and rules in the directory, report.
//!
//! Invariant: an account is written only by the oldest resource that names it. What has no resource any
//! more is taken out by the instance, so no finalizer is needed.

use std::sync::Arc;

use isthmus_kafka::directory::Entry;
use kube::ResourceExt as _;
use kube::runtime::controller::Action;

pub use super::secret::Hashes;

use super::build::entries;
use super::resource::MqttUser;
use super::validate::effective_name;
use super::{secret, status, validate};
use crate::control::age::Age;
use crate::control::stores::all;
use crate::control::verdict::{Stop, Verdict, home};
use crate::control::{Context, Error, Guarded};

/// One look at one user.
///
/// # Errors
/// What is tried again.
pub async fn reconcile(object: Arc<Guarded<MqttUser>>, ctx: Arc<Context>) -> Result<Action, Error> {
    let user = match &object.0 {
        Ok(user) => user,
        Err(invalid) => {
            crate::control::status::undecodable(&ctx, &*object, &invalid.error).await?;
            return Ok(Action::await_change());
        }
    };
    let uid = user.uid().unwrap_or_default();
    // The instance takes the account out of the directory, Kubernetes the Secret.
    if user.metadata.deletion_timestamp.is_some() {
        ctx.events.forget(&uid);
        ctx.backoffs.reset(&uid);
        return Ok(Action::await_change());
    }
    let (verdict, secret) = match judge(&ctx, user).await {
        Ok((verdict, secret)) => (verdict, Some(secret)),
        Err(Stop::Said(verdict)) => (verdict, None),
        Err(Stop::Failed(error)) => return Err(error),
    };
    status::report(&ctx, user, &verdict, secret).await?;
    Ok(verdict.again(&ctx, &uid))
}

/// The verdict, and the Secret that the password is in.
async fn judge(ctx: &Context, user: &MqttUser) -> Result<(Verdict, String), Stop> {
    if user.spec.suspend {
        let message = "spec.suspend is true: the account stays as it is";
        return Err(Verdict::no("Suspended", message).into());
    }
    let valid = validate(user, None).map_err(|faults| Verdict::faults(&faults, None))?;
    let username = &valid.username;
    unchanged(user, username)?;
    let home = home(ctx, &valid.namespace, &valid.instance)?;
    if let Some(older) = older(ctx, user, username) {
        let message = format!(
            "username {username:?} belongs to MqttUser {older}, which is older: use another spec.username"
        );
        return Err(Verdict::stalled("UsernameTaken", message).into());
    }
    let kafka = home.kafka(ctx).await?;
    let stored = match kafka.entry(format!("user/{username}")).await? {
        Some(Entry::User(_, Some(user))) => Some(user.password_hash),
        _ => None,
    };
    let status = home.resource.status.as_ref();
    let listener = status.and_then(|status| status.listeners.first());
    let address = listener.map(|listener| &*listener.uri).unwrap_or_default();
    let (secret, password) = secret::hash(ctx, user, &valid, address, stored).await?;
    kafka.write(entries(&valid, password.hash).to_vec()).await?;
    let mut message = match valid.enabled {
        true => format!("user {username:?} may connect"),
        false => format!("user {username:?} is refused (spec.enabled: false)"),
    };
    if password.outdated {
        message.push_str(&format!(
            "; the uri in Secret {secret} is not up to date: the instance is at {address}"
        ));
    }
    Ok((Verdict::yes("Ready", message), secret))
}

/// A username changed past the schema would leave the former account behind in silence.
fn unchanged(user: &MqttUser, username: &str) -> Result<(), Verdict> {
    let before = user.status.as_ref().and_then(|s| s.username.as_deref());
    match before {
        Some(before) if before != username => {
            let message = format!(
                "spec.username: cannot be changed from {before:?} to {username:?}: make another MqttUser"
            );
            Err(Verdict::stalled("InvalidSpec", message))
        }
        _ => Ok(()),
    }
}

/// An older resource with the same username in the same instance.
fn older(ctx: &Context, user: &MqttUser, username: &str) -> Option<String> {
    let mine = Age::of(user);
    all(&ctx.stores.users).find_map(|other| {
        let other = other.0.as_ref().ok()?;
        let same = effective_name(other) == username
            && other.namespace() == user.namespace()
            && other.spec.instance_ref == user.spec.instance_ref;
        (same && Age::of(other) < mine).then(|| other.name_any())
    })
}
