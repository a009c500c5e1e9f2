//! What a look at a parent topic or a user ends with: a word for its status, or a failure to look.
//!
//! Invariant: only what is so is said in a status. That the API server did not answer, or that the
//! object was changed meanwhile, is no state of the object: it is logged and tried again.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::controller::Action;

use super::conditions::{Wanted, set};
use super::kafka::{Kafka, Problem};
use super::stores::get;
use super::{Context, Error, settled};
use crate::fault::Fault;
use crate::instance::dereference::{cluster_id, settings};
use crate::instance::{self, MqttInstance, ValidInstance};

/// Whether all is well, and if not, what is wrong and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is as it is to be.
    pub ready: bool,
    /// The condition's reason.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// Only a person can help.
    pub stalled: bool,
}

impl Verdict {
    /// All is well.
    pub fn yes(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            ready: true,
            reason,
            message: message.into(),
            stalled: false,
        }
    }

    /// Something is wrong that may pass.
    pub fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            ready: false,
            reason,
            message: message.into(),
            stalled: false,
        }
    }

    /// Something is wrong that only a person can put right.
    pub fn stalled(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            stalled: true,
            ..Self::no(reason, message)
        }
    }

    /// The resource has faults; those of the field `name` are `InvalidName`.
    #[must_use]
    pub fn faults(faults: &[Fault], name: Option<&str>) -> Self {
        let named = |fault: &Fault| Some(&*fault.path.to_string()) == name;
        let reason = match faults.iter().any(named) {
            true => "InvalidName",
            false => "InvalidSpec",
        };
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Self::stalled(reason, faults.join("; "))
    }

    /// The conditions that say so.
    #[must_use]
    pub fn conditions(&self, before: &[Condition], generation: Option<i64>) -> Vec<Condition> {
        let mut wanted = vec![Wanted::new(
            "Ready",
            self.ready,
            self.reason,
            &*self.message,
        )];
        if self.stalled {
            wanted.push(Wanted::new("Stalled", true, self.reason, &*self.message));
        }
        set(before, &wanted, generation)
    }

    /// Whether there is nothing that a person should be warned of.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.ready || self.reason == "Suspended"
    }

    /// When the object is to be looked at again.
    #[must_use]
    pub fn again(&self, ctx: &Context, uid: &str) -> Action {
        if self.stalled || self.is_quiet() {
            ctx.backoffs.reset(uid);
            return settled(uid);
        }
        Action::requeue(ctx.backoffs.failed(uid))
    }
}

/// Why a look ended early.
#[derive(Debug)]
pub enum Stop {
    /// There is something to say in the status.
    Said(Verdict),
    /// It could not be looked at.
    Failed(Error),
}

impl From<Verdict> for Stop {
    fn from(verdict: Verdict) -> Self {
        Self::Said(verdict)
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        let problem = problem.of_instance();
        Self::Said(Verdict {
            ready: false,
            reason: problem.reason,
            message: problem.message,
            stalled: problem.stalled,
        })
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<kube::Error> for Stop {
    fn from(error: kube::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// The instance that a resource belongs to, once its Kafka is known.
#[derive(Clone, Debug)]
pub struct Home {
    /// As written.
    pub resource: MqttInstance,
    /// Read.
    pub instance: ValidInstance,
}

impl Home {
    /// Whether it is being deleted.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.resource.metadata.deletion_timestamp.is_some()
    }

    /// Its Kafka.
    ///
    /// # Errors
    /// A Secret of the instance is not there or does not hold what it is to.
    pub async fn kafka(&self, ctx: &Context) -> Result<Kafka, Problem> {
        let settings = settings(ctx, &self.resource, &self.instance).await?;
        let uid = self.resource.metadata.uid.as_deref().unwrap_or_default();
        Ok(ctx.kafkas.of(uid, &settings))
    }
}

/// Looks for a resource's instance, which is to stay; only watched stores are asked.
///
/// # Errors
/// What the resource is to say instead.
pub fn home(ctx: &Context, namespace: &str, name: &str) -> Result<Home, Verdict> {
    let home = last_home(ctx, namespace, name)?;
    if home.is_leaving() {
        let message =
            format!("MqttInstance {name:?} is being deleted: nothing is changed any more");
        return Err(Verdict::no("InstanceNotFound", message));
    }
    Ok(home)
}

/// Looks for a resource's instance, which may be about to go.
///
/// # Errors
/// What the resource is to say instead.
pub fn last_home(ctx: &Context, namespace: &str, name: &str) -> Result<Home, Verdict> {
    let found = get(&ctx.stores.instances, namespace, name);
    let found = found.as_ref().map(|found| found.0.as_ref());
    let not_valid = || {
        let message = format!("MqttInstance {name:?} is not valid: see its status");
        Verdict::no("InstanceNotFound", message)
    };
    let resource = match found {
        Some(Ok(resource)) => resource.clone(),
        Some(Err(_)) => return Err(not_valid()),
        None => {
            let message = format!(
                "no MqttInstance {name:?} in namespace {namespace}: make it, or correct spec.instanceRef.name"
            );
            return Err(Verdict::no("InstanceNotFound", message));
        }
    };
    let instance = instance::validate(&resource, None).map_err(|_| not_valid())?;
    if cluster_id(&resource).is_none() {
        let message = format!("MqttInstance {name:?} has not reached Kafka yet: see its status");
        return Err(Verdict::no("KafkaUnavailable", message));
    }
    Ok(Home { resource, instance })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_the_name_is_said_as_one_of_the_name() {
        let name = Fault::at("spec.topicName", "is wrong");
        let other = Fault::at("spec.retention", "is wrong");
        let reason = |faults: &[Fault]| Verdict::faults(faults, Some("spec.topicName")).reason;
        assert_eq!(reason(std::slice::from_ref(&other)), "InvalidSpec");
        assert_eq!(reason(&[other, name]), "InvalidName");
    }

    #[test]
    fn stalled_is_said_only_where_a_person_is_needed() {
        let kinds = |verdict: Verdict| -> Vec<String> {
            let conditions = verdict.conditions(&[], Some(1));
            conditions.into_iter().map(|c| c.type_).collect()
        };
        assert_eq!(kinds(Verdict::no("KafkaUnavailable", "")), ["Ready"]);
        let stalled = Verdict::stalled("TopicClaimed", "");
        assert_eq!(kinds(stalled), ["Ready", "Stalled"]);
    }
}
