//! What a user's status and events say.

use kube::ResourceExt as _;

use super::resource::{MqttUser, MqttUserStatus};
use super::validate::effective_name;
use crate::control::events::reference_of;
use crate::control::verdict::Verdict;
use crate::control::{Context, Error, status};

/// The status after a look; `secret` is the one that the password in force is in.
#[must_use]
pub fn after(user: &MqttUser, verdict: &Verdict, secret: Option<String>) -> MqttUserStatus {
    let before = user.status.clone().unwrap_or_default();
    let generation = user.metadata.generation;
    let mut after = MqttUserStatus {
        observed_generation: generation,
        conditions: verdict.conditions(&before.conditions, generation),
        ..before
    };
    if secret.is_some() {
        after.username = Some(effective_name(user).to_owned());
        after.secret_name = secret;
        after.acl_rules = i32::try_from(user.spec.acl.len()).ok();
    }
    after
}

/// Says in the status and by events what was found.
///
/// # Errors
/// The API server does not take it.
pub async fn report(
    ctx: &Context,
    user: &MqttUser,
    verdict: &Verdict,
    secret: Option<String>,
) -> Result<(), Error> {
    let after = after(user, verdict, secret);
    status::write(ctx, user, user.status.as_ref(), &after).await?;
    match verdict.is_quiet() {
        true => ctx.events.forget(&user.uid().unwrap_or_default()),
        false => {
            let about = reference_of(user);
            let message = &verdict.message;
            ctx.events.warn(&about, verdict.reason, message).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_in_force_stays_said_while_something_is_wrong() {
        let mut user: MqttUser = serde_json::from_value(json!({
            "apiVersion": "mqtt.isthmus.dev/v1alpha1", "kind": "MqttUser",
            "metadata": {"name": "demo", "namespace": "iot", "generation": 2},
            "spec": {
                "instanceRef": {"name": "plant"}, "acl": [{"topic": "a/#", "action": "sub"}],
            },
        }))
        .unwrap();
        let secret = Some("demo-mqtt".to_owned());
        let ready = after(&user, &Verdict::yes("Ready", "may connect"), secret);
        assert_eq!(ready.username.as_deref(), Some("demo"));
        assert_eq!(
            (ready.observed_generation, ready.acl_rules),
            (Some(2), Some(1))
        );
        user.status = Some(ready.clone());
        user.spec.acl.clear();
        let away = after(&user, &Verdict::no("KafkaUnavailable", "no answer"), None);
        assert_eq!(
            (away.secret_name, away.acl_rules),
            (ready.secret_name, Some(1))
        );
        assert_eq!(away.conditions[0].status, "False");
    }
}
