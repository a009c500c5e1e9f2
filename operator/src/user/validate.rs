//! From the written `MqttUser` to one that `build` can rely on. Pure.

use super::resource::MqttUser;
use super::rules;
use crate::acl;
use crate::fault::{Fault, FieldPath};
use crate::references::PasswordRef;

/// An `MqttUser` without faults.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidUser {
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// Reconciling is paused.
    pub suspend: bool,
    /// The instance's name.
    pub instance: String,
    /// The username.
    pub username: String,
    /// Whether it may connect.
    pub enabled: bool,
    /// Where the password comes from.
    pub password: PasswordSource,
    /// What it may do.
    pub acl: Vec<isthmus_config::AclRule>,
}

/// Where a password comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordSource {
    /// A Secret that the administrator made.
    Given(PasswordRef),
    /// A Secret of this name that the operator makes.
    Generated(String),
}

/// The username: `spec.username` or the resource's own name.
#[must_use]
pub fn effective_name(user: &MqttUser) -> &str {
    let own = || user.metadata.name.as_deref().unwrap_or_default();
    user.spec.username.as_deref().unwrap_or_else(own)
}

/// Checks everything that the user alone tells; `previous` is the one applied before.
///
/// # Errors
/// Every fault.
pub fn validate(user: &MqttUser, previous: Option<&MqttUser>) -> Result<ValidUser, Vec<Fault>> {
    let spec = &user.spec;
    let name = user.metadata.name.clone().unwrap_or_default();
    let username = effective_name(user);
    let mut faults = Vec::new();

    let illegal = |c: char| "+#/".contains(c) || c.is_control();
    let sized = (1..=256).contains(&username.chars().count());
    rules::CHARACTERS.check(sized && !username.contains(illegal), &mut faults);
    let password = match (&spec.password_secret_ref, &spec.generated_secret_name) {
        (Some(reference), generated) => {
            rules::ONE_SECRET.check(generated.is_none(), &mut faults);
            PasswordSource::Given(reference.clone())
        }
        (None, Some(generated)) => PasswordSource::Generated(generated.clone()),
        (None, None) => PasswordSource::Generated(format!("{name}-mqtt")),
    };
    if let Some(generated) = &spec.generated_secret_name {
        rules::SECRET_NAME.check(crate::references::legal_name(generated), &mut faults);
    }
    acl::validate(&spec.acl, &FieldPath::of("spec.acl"), &mut faults);
    if let Some(previous) = previous {
        rules::NAME.check(username == effective_name(previous), &mut faults);
        let same = spec.instance_ref == previous.spec.instance_ref;
        rules::INSTANCE.check(same, &mut faults);
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(ValidUser {
        namespace: user
            .metadata
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
        name,
        suspend: spec.suspend,
        instance: spec.instance_ref.name.clone(),
        username: username.to_owned(),
        enabled: spec.enabled,
        password,
        acl: acl::build(&spec.acl),
    })
}

#[cfg(test)]
mod tests;
