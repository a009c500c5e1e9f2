//! What is so: pods and how they do, connections and sessions, where devices connect.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::ValidInstance;
use super::deployment::ServiceType;
use super::objects::{INSTANCE, Kind};
use super::status::ListenerStatus;
use crate::control::Context;
use crate::control::stores::{all, get};

/// How old what is known of the brokers' figures may be.
pub const FIGURES: Duration = Duration::from_secs(30);
/// How long a broker may take to say its figures.
const ANSWER: Duration = Duration::from_secs(2);
/// The longest answer, bytes.
const LONGEST: u64 = 4 << 20;

/// The brokers of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pods {
    /// That are there.
    pub there: i32,
    /// That serve.
    pub ready: i32,
    /// What is wrong with one of them.
    pub trouble: Option<String>,
    /// Addresses of those that serve.
    pub addresses: Vec<String>,
}

/// The brokers of an instance, as they are watched.
#[must_use]
pub fn pods(ctx: &Context, namespace: &str, name: &str) -> Pods {
    let mut pods = Pods::default();
    let mut found: Vec<_> = all(&ctx.stores.pods)
        .filter(|pod| {
            pod.namespace().as_deref() == Some(namespace)
                && pod.labels().get(INSTANCE).map(String::as_str) == Some(name)
        })
        .collect();
    found.sort_by_key(|pod| pod.name_any());
    for pod in found {
        pods.there += 1;
        if is_ready(&pod) {
            pods.ready += 1;
            let address = pod.status.as_ref().and_then(|s| s.pod_ip.clone());
            pods.addresses.extend(address);
        } else if pods.trouble.is_none() {
            pods.trouble = trouble(&pod);
        }
    }
    pods
}

/// Brokers that were started from what was applied last. `None`: Kubernetes has not yet said so.
#[must_use]
pub fn updated(ctx: &Context, namespace: &str, name: &str) -> Option<i32> {
    let kind = Kind::StatefulSet;
    let seen = ctx.stores.seen(kind, namespace, name)?;
    if !ctx.applied.is_as_applied(kind, namespace, name, &seen) {
        return None;
    }
    let set = get(&ctx.stores.sets, namespace, name)?;
    let status = set.status.as_ref()?;
    let told = status.observed_generation >= set.metadata.generation;
    told.then(|| status.updated_replicas.unwrap_or(0))
}

fn is_ready(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|s| s.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions
            .into_iter()
            .flatten()
            .any(|c| c.type_ == "Ready" && c.status == "True")
}

/// Why a pod does not get on, where Kubernetes says so.
fn trouble(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let name = pod.name_any();
    for container in status.container_statuses.iter().flatten() {
        let state = container.state.as_ref();
        if let Some(waiting) = state.and_then(|s| s.waiting.as_ref()) {
            let reason = waiting.reason.as_deref().unwrap_or_default();
            let said = waiting.message.as_deref().unwrap_or_default();
            if !matches!(reason, "ContainerCreating" | "PodInitializing") {
                return Some(format!("pod {name}: {reason}: {said}"));
            }
        }
        if container.restart_count > 2 {
            let count = container.restart_count;
            return Some(format!(
                "pod {name} was restarted {count} times: see kubectl logs {name} --previous"
            ));
        }
    }
    let unscheduled = status.conditions.iter().flatten();
    unscheduled
        .filter(|c| c.type_ == "PodScheduled" && c.status == "False")
        .find_map(|c| Some(format!("pod {name}: {}", c.message.as_ref()?)))
}

/// Connections and sessions.
type Counts = (i64, i64);

/// Connections and sessions of each instance, asked for now and then.
#[derive(Default)]
pub struct Figures(Mutex<HashMap<String, (Instant, Counts)>>);

impl Figures {
    /// Of all brokers of an instance that serve; `None` where one does not say.
    pub async fn of(&self, uid: &str, addresses: &[String], port: u16) -> Option<Counts> {
        let known = {
            let figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            figures.get(uid).copied()
        };
        if let Some((at, known)) = known
            && at.elapsed() < FIGURES
        {
            return Some(known);
        }
        let mut sum = (0, 0);
        for address in addresses {
            let text = timeout(ANSWER, metrics(address, port)).await.ok()?.ok()?;
            sum.0 += figure(&text, "isthmus_connections");
            sum.1 += figure(&text, "isthmus_sessions");
        }
        let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        figures.insert(uid.to_owned(), (Instant::now(), sum));
        Some(sum)
    }

    /// An instance is gone.
    pub fn forget(&self, uid: &str) {
        let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        figures.remove(uid);
    }
}

async fn metrics(address: &str, port: u16) -> std::io::Result<String> {
    let address: std::net::IpAddr = address.parse().map_err(std::io::Error::other)?;
    let mut stream = TcpStream::connect((address, port)).await?;
    let request = "GET /metrics HTTP/1.0\r\nHost: broker\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The sum of all series of a gauge.
fn figure(text: &str, name: &str) -> i64 {
    text.lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with(['{', ' ']))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
        .map(|value| value as i64)
        .sum()
}

/// Where devices connect, listener by listener; the first is the instance's address.
#[must_use]
pub fn listeners(ctx: &Context, instance: &ValidInstance) -> Vec<ListenerStatus> {
    let of = &instance.deployment;
    let mqtt = instance.mqtt.map(|port| ("mqtt", port, "", &of.mqtt));
    let ws = instance.ws.as_ref();
    let ws = ws.map(|(port, path)| ("ws", *port, path.as_str(), &of.ws));
    mqtt.into_iter()
        .chain(ws)
        .map(|(name, port, path, service)| {
            let service_name = format!("{}-{name}", instance.name);
            let inside = format!("{service_name}.{}.svc:{port}", instance.namespace);
            let found = get(&ctx.stores.services, &instance.namespace, &service_name);
            let outside = found
                .filter(|_| service.kind == ServiceType::LoadBalancer)
                .and_then(|found| balanced(&found))
                .map(|host| format!("{host}:{port}"));
            let uri = format!("{name}://{}{path}", outside.unwrap_or(inside));
            ListenerStatus {
                name: name.to_owned(),
                uri,
            }
        })
        .collect()
}

fn balanced(service: &Service) -> Option<String> {
    let status = service.status.as_ref()?.load_balancer.as_ref()?;
    let first = status.ingress.as_ref()?.first()?;
    first.hostname.clone().or_else(|| first.ip.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_are_sums_of_series() {
        let text = "# TYPE isthmus_connections gauge\n\
                    isthmus_connections{listener=\"mqtt\"} 3\nisthmus_connections{listener=\"ws\"} 4\n\
                    isthmus_connections_accepted_total 9\n";
        assert_eq!(figure(text, "isthmus_connections"), 7);
    }

    #[test]
    fn an_image_that_cannot_be_had_is_named() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "plant-0"},
            "status": {"containerStatuses": [{
                "name": "broker", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image x"}},
            }]},
        }))
        .unwrap();
        let said = trouble(&pod).unwrap();
        assert_eq!(said, "pod plant-0: ErrImagePull: no such image x");
    }
}
