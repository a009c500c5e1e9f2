//! The operator's life: connects, waits to be the leader, runs the controllers until it is told to end.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::{StreamExt as _, stream};
use kube::client::ClientBuilder;
use kube::runtime::Controller;
use kube::runtime::controller::{Action, Config as ControllerConfig};
use kube::runtime::watcher::Config;
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::events::Events;
use super::http::{self, Health};
use super::kafka::Kafkas;
use super::leader::Leader;
use super::metrics::{Counting, Metrics};
use super::stores::{Stores, Wake, Woken, api, follow};
use super::{Context, Error, Guarded};
use crate::instance::{self, MqttInstance};
use crate::parent_topic::{self, ParentTopic};
use crate::user::{self, MqttUser};

/// Objects of one kind that are looked at at the same time.
const AT_ONCE: u16 = 64;
/// Changes that come together are looked at together.
const TOGETHER: Duration = Duration::from_millis(100);

/// What the operator is told at its start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespaces that it looks after; none: all.
    pub namespaces: Vec<String>,
    /// The broker image of this release.
    pub broker_image: String,
    /// The port of health and metrics.
    pub port: u16,
    /// The name of this pod.
    pub pod: Option<String>,
    /// The namespace of this pod, where the Lease is.
    pub namespace: Option<String>,
}

/// Runs until `shutdown` is ready, or the Lease is lost.
///
/// # Errors
/// There is no cluster to be reached, a port is taken, or the Lease was lost.
pub async fn run(options: Options, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::default());
    let health = Arc::new(Health::default());
    let port = options.port;
    http::serve(port, Arc::clone(&health), Arc::clone(&metrics))
        .await
        .with_context(|| format!("cannot listen at port {port} (ISTHMUS_MONITORING_PORT)"))?;
    let config = kube::Config::infer().await.context(
        "no cluster: neither a ServiceAccount's token nor a kubeconfig (KUBECONFIG, ~/.kube/config)",
    )?;
    let namespace = options.namespace.clone();
    let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = ClientBuilder::try_from(config)
        .context("the API server's address or certificate")?
        .with_layer(&Counting(Arc::clone(&metrics)))
        .build();
    health.ready.store(true, Ordering::Release);
    let me = format!(
        "{}_{:08x}",
        options.pod.as_deref().unwrap_or("operator"),
        getrandom::u32().unwrap_or_else(|_| std::process::id())
    );
    let mut leader = Leader::new(client.clone(), &namespace, me);
    tokio::pin!(shutdown);
    tokio::select! {
        () = leader.acquire() => {}
        () = &mut shutdown => return Ok(()),
    }
    tracing::info!(namespace, "this operator is at work");
    metrics.set_leader(true);
    let controllers = controllers(client, options, Arc::clone(&metrics));
    let ended = tokio::select! {
        ended = controllers => ended,
        () = leader.keep() => Err(anyhow::anyhow!(
            "the Lease was lost: another operator is at work, or the API server does not answer"
        )),
        () = &mut shutdown => Ok(()),
    };
    metrics.set_leader(false);
    if ended.is_ok() {
        leader.release().await;
    }
    ended
}

async fn controllers(
    client: Client,
    options: Options,
    metrics: Arc<Metrics>,
) -> anyhow::Result<()> {
    let mut namespaces = options.namespaces;
    if namespaces.is_empty() {
        namespaces.push(String::new());
    }
    let mut wake = Wake::default();
    let queues: Vec<_> = namespaces.iter().map(|name| wake.queues(name)).collect();
    let (mut stores, mut told) = Stores::new(&client, &namespaces, wake);
    let mut parts = Vec::new();
    for (name, (instances, parents, users)) in namespaces.iter().zip(queues) {
        let instances = controller::<MqttInstance>(&client, name, instances);
        let parents = controller::<ParentTopic>(&client, name, parents);
        let users = controller::<MqttUser>(&client, name, users);
        stores.instances.push(instances.store());
        stores.parents.push(parents.store());
        stores.users.push(users.store());
        let of = |parent: &ParentTopic| parent.spec.instance_ref.name.clone();
        told.push(follow::<ParentTopic>(&client, name, of));
        let of = |user: &MqttUser| user.spec.instance_ref.name.clone();
        told.push(follow::<MqttUser>(&client, name, of));
        parts.push((instances, parents, users));
    }
    let ctx = Arc::new(Context {
        events: Events::new(client.clone(), options.pod),
        client,
        stores,
        kafkas: Kafkas::new(Arc::clone(&metrics)),
        applied: super::apply::Applied::default(),
        metrics,
        backoffs: super::backoff::Backoffs::default(),
        figures: instance::observe::Figures::default(),
        hashes: user::reconcile::Hashes::default(),
        optional: super::optional::Optional::default(),
        secrets: super::secrets::Secrets::default(),
        broker_image: options.broker_image,
    });
    let listening = {
        let ctx = Arc::clone(&ctx);
        async move {
            let mut changes = stream::select_all(told);
            while let Some(change) = changes.next().await {
                ctx.stores.changed(change);
            }
        }
    };
    // A store remembers only the last one that waits for it: one waits, and tells all.
    let (filled, ready) = watch::channel(false);
    let waiting = {
        let ctx = Arc::clone(&ctx);
        async move {
            if ctx.stores.ready().await.is_err() {
                return;
            }
            // Nobody listens to a controller that has ended.
            let _ = filled.send(true);
            // A controller waits for its own store as well, and may have been forgotten there.
            ctx.stores.wake_all();
            std::future::pending().await
        }
    };
    let mut running = tokio::task::JoinSet::new();
    running.spawn(listening);
    running.spawn(waiting);
    for (instances, parents, users) in parts {
        let all = &ctx;
        running.spawn(drive(instances, Arc::clone(all), ready.clone(), |o, c| {
            Box::pin(instance::reconcile::reconcile(o, c))
        }));
        running.spawn(drive(parents, Arc::clone(all), ready.clone(), |o, c| {
            Box::pin(parent_topic::reconcile::reconcile(o, c))
        }));
        running.spawn(drive(users, Arc::clone(all), ready.clone(), |o, c| {
            Box::pin(user::reconcile::reconcile(o, c))
        }));
    }
    // None of them ends by itself.
    match running.join_next().await {
        Some(Err(error)) => Err(anyhow::anyhow!("a controller has ended: {error}")),
        _ => Err(anyhow::anyhow!("a controller has ended")),
    }
}

fn controller<K>(client: &Client, namespace: &str, woken: Woken<K>) -> Controller<Guarded<K>>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let config = ControllerConfig::default()
        .concurrency(AT_ONCE)
        .debounce(TOGETHER);
    Controller::new(api::<Guarded<K>>(client, namespace), Config::default())
        .with_config(config)
        .reconcile_on(UnboundedReceiverStream::new(woken))
}

type Reconciled = std::pin::Pin<Box<dyn Future<Output = Result<Action, Error>> + Send + 'static>>;

async fn drive<K>(
    controller: Controller<Guarded<K>>,
    ctx: Arc<Context>,
    ready: watch::Receiver<bool>,
    reconcile: fn(Arc<Guarded<K>>, Arc<Context>) -> Reconciled,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let timed = move |object: Arc<Guarded<K>>, ctx: Arc<Context>| {
        let mut ready = ready.clone();
        async move {
            // Nothing is to be concluded from what has not been listed yet.
            if ready.wait_for(|ready| *ready).await.is_err() {
                return Err(Error::Later("a watch has ended".to_owned()));
            }
            let begun = Instant::now();
            let result = reconcile(object, Arc::clone(&ctx)).await;
            let seconds = begun.elapsed().as_secs_f64();
            ctx.metrics
                .reconciled(&K::kind(&()), result.is_ok(), seconds);
            result
        }
    };
    let failed = |object: Arc<Guarded<K>>, error: &Error, ctx: Arc<Context>| {
        let wait = ctx.backoffs.failed(&object.uid().unwrap_or_default());
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        tracing::warn!(kind = %K::kind(&()), namespace, name, %error, again_in = ?wait, "not done");
        Action::requeue(wait)
    };
    controller
        .run(timed, failed, ctx)
        .for_each(|_| async {})
        .await;
}
