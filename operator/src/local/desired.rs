//! From resources to what is wanted: dereference and validate, over all resources together.
//!
//! Pure. Invariant: a `Desired` has no faults; a set of files with a fault gives none at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use isthmus_kafka::names::Names;

use super::applied::Applied;
use super::load::{Located, Manifests, Problem};
use crate::fault::Fault;
use crate::instance::{self, MqttInstance, ValidInstance};
use crate::parent_topic::{self, ParentTopic, ValidParent};
use crate::references::PasswordRef;
use crate::user::validate::PasswordSource;
use crate::user::{self, MqttUser, ValidUser};

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Desired {
    /// The instance as written.
    pub resource: MqttInstance,
    /// The instance, read.
    pub instance: ValidInstance,
    /// Its parent topics.
    pub parents: Vec<DesiredParent>,
    /// Its users.
    pub users: Vec<DesiredUser>,
}

/// A parent topic that is wanted.
#[derive(Clone, Debug)]
pub struct DesiredParent {
    /// As written.
    pub resource: ParentTopic,
    /// Read.
    pub valid: ValidParent,
    /// The Kafka topic, prefix included.
    pub kafka_topic: String,
}

/// A user that is wanted.
#[derive(Clone, Debug)]
pub struct DesiredUser {
    /// As written.
    pub resource: MqttUser,
    /// Read.
    pub valid: ValidUser,
    /// Its password, or the generated Secret that holds it.
    pub password: Password,
}

/// Where a user's password is.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// In the files.
    Given(Vec<u8>),
    /// In a generated Secret of this name.
    Generated(String),
}

/// Without the password.
impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Given(_) => f.write_str("Given(…)"),
            Self::Generated(name) => f.debug_tuple("Generated").field(name).finish(),
        }
    }
}

/// Exactly one instance must be there; `arguments` is what a fault of all files points at.
///
/// # Errors
/// Every problem of every resource.
pub fn desired(
    manifests: &Manifests,
    applied: &Applied,
    arguments: &[PathBuf],
) -> Result<Desired, Vec<Problem>> {
    let mut problems = Vec::new();
    let Some(instance) = the_instance(manifests, applied, arguments, &mut problems) else {
        return Err(problems);
    };
    let name = instance
        .resource
        .metadata
        .name
        .as_deref()
        .unwrap_or_default();
    let namespace = instance
        .resource
        .metadata
        .namespace
        .as_deref()
        .unwrap_or_default();
    let whose = Whose { namespace, name };
    let valid = instance::validate(&instance.resource, applied.instance.as_ref());
    let valid = note(valid, instance, &mut problems);
    let prefix = &instance.resource.spec.kafka.topic_prefix;
    let names = Names::new(prefix, namespace, name);
    let parents = parents(manifests, applied, &whose, &names, &mut problems);
    let users = users(manifests, applied, &whose, &mut problems);
    match valid {
        Some(valid) if problems.is_empty() => Ok(Desired {
            resource: instance.resource.clone(),
            instance: valid,
            parents,
            users,
        }),
        _ => Err(problems),
    }
}

struct Whose<'a> {
    namespace: &'a str,
    name: &'a str,
}

impl Whose<'_> {
    /// A resource belongs to the one instance that there is.
    fn check(&self, namespace: &str, instance: &str) -> Result<(), Fault> {
        if instance != self.name {
            let message = format!(
                "no MqttInstance {instance:?} in the files, there is {:?}",
                self.name
            );
            return Err(Fault::at("spec.instanceRef.name", message));
        }
        if namespace != self.namespace {
            let message = format!(
                "the instance is in namespace {:?}: it must be the same",
                self.namespace
            );
            return Err(Fault::at("metadata.namespace", message));
        }
        Ok(())
    }
}

fn the_instance<'a>(
    manifests: &'a Manifests,
    applied: &Applied,
    arguments: &[PathBuf],
    problems: &mut Vec<Problem>,
) -> Option<&'a Located<MqttInstance>> {
    let Some(instance) = manifests.instances.first() else {
        let file = arguments
            .first()
            .map(PathBuf::as_path)
            .unwrap_or(Path::new("-f"))
            .to_path_buf();
        let fault = Fault::at(
            "",
            "no MqttInstance in the files: local mode runs exactly one",
        );
        problems.push(Problem {
            file,
            line: 1,
            fault,
        });
        return None;
    };
    for other in manifests.instances.iter().skip(1) {
        let message = format!(
            "local mode runs exactly one MqttInstance, there is one at {}: start another local mode for this one",
            instance.origin.place()
        );
        problems.push(other.origin.problem(Fault::at("metadata.name", message)));
    }
    if let Some(before) = &applied.instance {
        let full = |i: &MqttInstance| (i.metadata.namespace.clone(), i.metadata.name.clone());
        if full(before) != full(&instance.resource) {
            let (namespace, name) = full(before);
            let message = format!(
                "the data here belongs to instance {}/{}: stop and use another --data for another instance",
                namespace.unwrap_or_default(),
                name.unwrap_or_default()
            );
            problems.push(instance.origin.problem(Fault::at("metadata.name", message)));
        }
    }
    Some(instance)
}

fn note<T, R>(
    result: Result<T, Vec<Fault>>,
    at: &Located<R>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    result
        .map_err(|faults| problems.extend(faults.into_iter().map(|f| at.origin.problem(f))))
        .ok()
}

fn parents(
    manifests: &Manifests,
    applied: &Applied,
    whose: &Whose<'_>,
    names: &Names,
    problems: &mut Vec<Problem>,
) -> Vec<DesiredParent> {
    // Kafka's metrics take '.' and '_' for the same, so Kafka refuses such a pair.
    let mut claimed: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut parents = Vec::new();
    for located in &manifests.parents {
        let name = located
            .resource
            .metadata
            .name
            .as_deref()
            .unwrap_or_default();
        let previous = applied.parent(name).map(|p| &p.resource);
        let Some(valid) = note(
            parent_topic::validate(&located.resource, previous),
            located,
            problems,
        ) else {
            continue;
        };
        let named = whose
            .check(&valid.namespace, &valid.instance)
            .and_then(|()| {
                parent_topic::build::kafka_topic(&valid, names)
                    .map_err(|why| Fault::at("spec.topicName", format!("{:?}: {why}", valid.topic)))
            });
        let Some(kafka_topic) = note(named.map_err(|fault| vec![fault]), located, problems) else {
            continue;
        };
        if let Some((topic, place)) = claimed.get(&kafka_topic.replace('.', "_")) {
            let message = if *topic == kafka_topic {
                format!("Kafka topic {topic:?} is claimed at {place} already")
            } else {
                format!("Kafka takes '.' and '_' for the same, {topic:?} at {place} is in the way")
            };
            problems.push(located.origin.problem(Fault::at("spec.topicName", message)));
            continue;
        }
        claimed.insert(
            kafka_topic.replace('.', "_"),
            (kafka_topic.clone(), located.origin.place()),
        );
        parents.push(DesiredParent {
            resource: located.resource.clone(),
            valid,
            kafka_topic,
        });
    }
    parents
}

fn users(
    manifests: &Manifests,
    applied: &Applied,
    whose: &Whose<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<DesiredUser> {
    let mut usernames: BTreeMap<String, String> = BTreeMap::new();
    let mut generated: BTreeMap<String, String> = BTreeMap::new();
    let mut users = Vec::new();
    for located in &manifests.users {
        let name = located
            .resource
            .metadata
            .name
            .as_deref()
            .unwrap_or_default();
        let Some(valid) = note(
            user::validate(&located.resource, applied.user(name)),
            located,
            problems,
        ) else {
            continue;
        };
        let mut faults = Vec::new();
        faults.extend(whose.check(&valid.namespace, &valid.instance).err());
        if let Some(place) = usernames.get(&valid.username) {
            let message = format!("username {:?} is taken at {place}", valid.username);
            faults.push(Fault::at("spec.username", message));
        }
        let password = match &valid.password {
            PasswordSource::Given(reference) => given(manifests, &valid.namespace, reference),
            PasswordSource::Generated(secret) => {
                free(manifests, &valid.namespace, secret, &generated)
                    .map(|()| Password::Generated(secret.clone()))
            }
        };
        let place = located.origin.place();
        usernames
            .entry(valid.username.clone())
            .or_insert_with(|| place.clone());
        if let PasswordSource::Generated(secret) = &valid.password {
            generated.entry(secret.clone()).or_insert(place);
        }
        match password {
            Ok(password) if faults.is_empty() => {
                users.push(DesiredUser {
                    resource: located.resource.clone(),
                    valid,
                    password,
                });
            }
            Ok(_) => {}
            Err(fault) => faults.push(fault),
        }
        problems.extend(
            faults
                .into_iter()
                .map(|fault| located.origin.problem(fault)),
        );
    }
    users
}

fn given(
    manifests: &Manifests,
    namespace: &str,
    reference: &PasswordRef,
) -> Result<Password, Fault> {
    let PasswordRef { name, key } = reference;
    let mut secrets = manifests.secrets.iter().map(|s| &s.resource);
    let Some(secret) = secrets.find(|s| s.namespace == namespace && s.name == *name) else {
        let message = format!(
            "no Secret {namespace}/{name} in the files: add it, or leave passwordSecretRef out to have one generated"
        );
        return Err(Fault::at("spec.passwordSecretRef.name", message));
    };
    match secret.data.get(key) {
        Some(password) if password.is_empty() => {
            let message = format!("key {key:?} of Secret {name} is empty: set a password");
            Err(Fault::at("spec.passwordSecretRef.key", message))
        }
        Some(password) => Ok(Password::Given(password.clone())),
        None => {
            let keys: Vec<&str> = secret.data.keys().map(String::as_str).collect();
            let keys = if keys.is_empty() {
                "no key".to_owned()
            } else {
                keys.join(", ")
            };
            let message = format!("Secret {name} has no key {key:?}, it has {keys}");
            Err(Fault::at("spec.passwordSecretRef.key", message))
        }
    }
}

/// A generated Secret takes no name that somebody else uses.
fn free(
    manifests: &Manifests,
    namespace: &str,
    secret: &str,
    generated: &BTreeMap<String, String>,
) -> Result<(), Fault> {
    let found = manifests
        .secrets
        .iter()
        .find(|s| s.resource.namespace == namespace && s.resource.name == secret);
    let place = found
        .map(|s| s.origin.place())
        .or_else(|| generated.get(secret).cloned());
    match place {
        Some(place) => {
            let message = format!(
                "the Secret {secret:?} to be generated is already used at {place}: set another generatedSecretName, or a passwordSecretRef"
            );
            Err(Fault::at("spec.generatedSecretName", message))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
