//! Brings an `MqttInstance` about: dereference, validate, build, apply, report.
//!
//! Invariants: with a fault nothing is applied; sessions are kept in one Kafka cluster only; what is
//! said in the status was seen.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::api::Api;
use kube::runtime::controller::Action;
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;

use super::delete::delete;
use super::dereference::{as_before, cluster_id, settings};
use super::monitors;
use super::objects::{self, Kind, Object, Surroundings, authority_secret};
use super::observe::FIGURES;
use super::report::report;
use super::resource::MqttInstance;
use super::status::KafkaStatus;
use super::{ValidInstance, access, build, validate};
use crate::control::age::Age;
use crate::control::apply::{Outcome, apply, remove};
use crate::control::kafka::Problem;
use crate::control::stores::all;
use crate::control::{Context, Error, Guarded, finalizer, status};
use crate::references::DeletionPolicy;

/// Holds a deletion until the topics are gone.
pub(super) const FINALIZER: &str = "mqtt.isthmus.dev/topics";

/// Why an instance does not serve as it is to.
pub(super) struct Fault {
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) stalled: bool,
}

impl Fault {
    fn new(reason: &'static str, message: impl Into<String>, stalled: bool) -> Self {
        Self {
            reason,
            message: message.into(),
            stalled,
        }
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::new(problem.reason, problem.message, problem.stalled)
    }
}

/// What was found out.
#[derive(Default)]
pub(super) struct Found {
    pub(super) fault: Option<Fault>,
    pub(super) kafka: Option<KafkaStatus>,
    /// Whether Kafka answered; `None`: it was not asked.
    pub(super) connected: Option<(bool, String)>,
    /// What holds nothing up and should be known.
    pub(super) notes: Vec<String>,
}

/// One look at one instance.
///
/// # Errors
/// What is tried again.
pub async fn reconcile(
    object: Arc<Guarded<MqttInstance>>,
    ctx: Arc<Context>,
) -> Result<Action, Error> {
    let resource = match &object.0 {
        Ok(resource) => resource,
        Err(invalid) => {
            status::undecodable(&ctx, &*object, &invalid.error).await?;
            return Ok(Action::await_change());
        }
    };
    let uid = resource.uid().unwrap_or_default();
    let valid = validate(resource, None).and_then(|instance| as_before(&ctx, instance));
    if resource.metadata.deletion_timestamp.is_some() {
        return delete(&ctx, resource, valid.ok().as_ref()).await;
    }
    let mut found = Found::default();
    let instance = match valid {
        Ok(instance) if instance.suspend => {
            let message = "spec.suspend is true: what runs goes on, changes are not applied";
            found.fault = Some(Fault::new("Suspended", message, false));
            Some(instance)
        }
        Ok(instance) => {
            bring_about(&ctx, resource, &instance, &mut found).await?;
            Some(instance)
        }
        Err(faults) => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            found.fault = Some(Fault::new("InvalidSpec", faults.join("; "), true));
            None
        }
    };
    let ready = report(&ctx, resource, instance.as_ref(), &found).await?;
    let waits = found.fault.as_ref().is_some_and(|fault| {
        !fault.stalled
            && matches!(
                fault.reason,
                "KafkaUnavailable" | "KafkaRejected" | "Rejected" | "SecretNotFound"
            )
    });
    if waits {
        return Ok(Action::requeue(ctx.backoffs.failed(&uid)));
    }
    ctx.backoffs.reset(&uid);
    // Pods wake this by themselves; figures are to be asked for.
    Ok(Action::requeue(if ready { FIGURES } else { FIGURES / 2 }))
}

async fn bring_about(
    ctx: &Context,
    resource: &MqttInstance,
    instance: &ValidInstance,
    found: &mut Found,
) -> Result<(), Error> {
    let uid = resource.uid().unwrap_or_default();
    finalizer::keep(
        ctx,
        resource,
        FINALIZER,
        instance.deletion_policy == DeletionPolicy::Delete,
    )
    .await?;
    let settings = match settings(ctx, resource, instance).await {
        Ok(settings) => settings,
        Err(problem) => {
            found.fault = Some(problem.into());
            return Ok(());
        }
    };
    let kafka = ctx.kafkas.of(&uid, &settings);
    let access = access::fingerprint(&settings.connection);
    let topics = build::topics(instance);
    let count = i32::try_from(topics.len()).unwrap_or(i32::MAX);
    let mut known = KafkaStatus {
        bootstrap_servers: Some(instance.bootstrap_servers.clone()),
        ..resource
            .status
            .as_ref()
            .and_then(|s| s.kafka.clone())
            .unwrap_or_default()
    };
    // Before anything is made: the cluster must be known, and the prefix free in it.
    if known.cluster_id.is_none() {
        match kafka.ensure(Vec::new()).await {
            Ok(made) => known.cluster_id = Some(made.cluster_id),
            Err(problem) => return not_connected(found, known, problem),
        }
    }
    if let Some(other) = same_topics(ctx, resource, instance, known.cluster_id.as_deref()) {
        let message = format!(
            "MqttInstance {other} is older and uses the same Kafka cluster and spec.kafka.topicPrefix {:?}: make this one anew with another prefix",
            instance.topic_prefix
        );
        found.fault = Some(Fault::new("TopicPrefixInUse", message, true));
        return Ok(());
    }
    let made = match kafka.ensure(topics).await {
        Ok(made) => made,
        Err(problem) => {
            let changed = problem.stalled;
            not_connected(found, known, problem)?;
            // Brokers that run go on; another cluster is no place for them.
            return match changed {
                true => Ok(()),
                false => objects(ctx, resource, instance, access, found).await,
            };
        }
    };
    known.topics = Some(count);
    found.connected = Some((true, format!("Kafka cluster {}", made.cluster_id)));
    found.kafka = Some(known);
    for answer in made.answers {
        if let Err(error) = answer {
            found.fault = Some(Problem::from(error).into());
            return Ok(());
        }
    }
    objects(ctx, resource, instance, access, found).await?;
    if found.fault.is_none() {
        sweep(ctx, resource, &kafka, found).await;
    }
    Ok(())
}

fn not_connected(found: &mut Found, known: KafkaStatus, problem: Problem) -> Result<(), Error> {
    found.connected = Some((false, problem.message.clone()));
    found.kafka = known.cluster_id.is_some().then_some(known);
    found.fault = Some(problem.into());
    Ok(())
}

/// An older instance with the same system topics.
fn same_topics(
    ctx: &Context,
    resource: &MqttInstance,
    instance: &ValidInstance,
    cluster: Option<&str>,
) -> Option<String> {
    let mine = Age::of(resource);
    // An instance that has not reached its Kafka yet will find the same one at the same address.
    let in_cluster = |other: &MqttInstance| match cluster_id(other) {
        Some(known) => Some(&*known) == cluster,
        None => other.spec.kafka.bootstrap_servers == instance.bootstrap_servers,
    };
    all(&ctx.stores.instances).find_map(|other| {
        let other = other.0.as_ref().ok()?;
        let same = other.uid() != resource.uid()
            && in_cluster(other)
            && other.spec.kafka.topic_prefix == instance.topic_prefix
            && Age::of(other) < mine;
        same.then(|| {
            format!(
                "{}/{}",
                other.namespace().unwrap_or_default(),
                other.name_any()
            )
        })
    })
}

async fn objects(
    ctx: &Context,
    resource: &MqttInstance,
    instance: &ValidInstance,
    access: Option<String>,
    found: &mut Found,
) -> Result<(), Error> {
    let namespace = &instance.namespace;
    let uid = resource.uid().unwrap_or_default();
    let secret = authority_secret(&instance.name);
    let seen = ctx.stores.seen(Kind::Secret, namespace, &secret);
    let foreign = |kind: Kind, name: &str| {
        let message = format!(
            "{} {name} is there and not this instance's: delete or rename it, or name this instance otherwise",
            kind.name()
        );
        Fault::new("ObjectConflict", message, true)
    };
    let authority = match seen {
        Some(seen) if seen.owners.contains(&uid) => None,
        Some(_) => {
            found.fault = Some(foreign(Kind::Secret, &secret));
            return Ok(());
        }
        None => match crate::local::authority::make(&instance.name) {
            Ok(made) => Some(made),
            Err(error) => return Err(Error::Later(error.to_string())),
        },
    };
    let around = Surroundings {
        image: ctx.broker_image.clone(),
        owner: json!(resource.controller_owner_ref(&())),
        authority,
        access,
    };
    let wanted = objects::build(instance, &around);
    monitors::remove(ctx, instance, &uid, &wanted).await?;
    for object in &wanted {
        if Kind::OPTIONAL.contains(&object.kind) {
            let note = monitors::apply(ctx, instance, &uid, object).await?;
            found.notes.extend(note);
            continue;
        }
        if object.kind == Kind::Secret {
            make_secret(ctx, namespace, object).await?;
            continue;
        }
        match apply(ctx, namespace, &uid, object).await? {
            Outcome::Done => {}
            Outcome::Foreign => {
                found.fault = Some(foreign(object.kind, &object.name));
                return Ok(());
            }
            Outcome::Refused(said) => {
                let message = format!("{} {}: {said}", object.kind.name(), object.name);
                found.fault = Some(Fault::new("Rejected", message, false));
                return Ok(());
            }
        }
    }
    let is_wanted = |kind: Kind, name: &str| {
        wanted
            .iter()
            .any(|object| object.kind == kind && object.name == name)
    };
    for (kind, name) in objects::possible(&instance.name) {
        if !is_wanted(kind, &name) {
            remove(ctx, namespace, &uid, kind, &name).await?;
        }
    }
    Ok(())
}

/// Made once: a second authority would part the brokers.
async fn make_secret(ctx: &Context, namespace: &str, object: &Object) -> Result<(), Error> {
    use k8s_openapi::api::core::v1::Secret;
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), namespace);
    let secret: Secret = serde_json::from_value(object.body.clone())?;
    match api.create(&kube::api::PostParams::default(), &secret).await {
        Ok(_) => {
            ctx.metrics.written("Secret", "create");
            Ok(())
        }
        // The watch is behind.
        Err(kube::Error::Api(error)) if error.code == 409 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Takes users and parent topics out of the directory that have no resource any more.
async fn sweep(
    ctx: &Context,
    resource: &MqttInstance,
    kafka: &crate::control::kafka::Kafka,
    found: &mut Found,
) {
    let namespace = resource.namespace().unwrap_or_default();
    let name = resource.name_any();
    let mut keep = BTreeSet::new();
    let here = |of: Option<String>| of.as_deref() == Some(&namespace);
    for parent in all(&ctx.stores.parents).filter(|p| here(p.namespace())) {
        // Whose topic one is that cannot be read is not known: nothing is taken out.
        let Ok(parent) = &parent.0 else { return };
        if parent.spec.instance_ref.name == name {
            let topic = crate::parent_topic::validate::effective_name(parent);
            keep.insert(format!("parent/{topic}"));
        }
    }
    for user in all(&ctx.stores.users).filter(|u| here(u.namespace())) {
        let Ok(user) = &user.0 else { return };
        if user.spec.instance_ref.name == name {
            let username = crate::user::validate::effective_name(user);
            keep.extend([format!("user/{username}"), format!("acl/{username}")]);
        }
    }
    if let Err(problem) = kafka.sweep(keep).await {
        found.fault = Some(problem.into());
    }
}
