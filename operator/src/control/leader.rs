//! One operator is at work at a time: it holds a Lease (`coordination.k8s.io/v1`), which others take
//! when it was not renewed in time. Invariant: whoever cannot renew stops before another may begin.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::time::{Instant, sleep, timeout};

/// The Lease.
const NAME: &str = "isthmus-operator";
/// How long it counts without being renewed.
const LASTS: Duration = Duration::from_secs(15);
/// When the holder gives up.
const GIVES_UP: Duration = Duration::from_secs(10);
/// How often it is looked at, and renewed.
const EVERY: Duration = Duration::from_secs(2);
/// How long one request may take.
const CALL: Duration = Duration::from_secs(5);

/// Holds the Lease, or tries to.
pub struct Leader {
    leases: Api<Lease>,
    me: String,
    /// Whose it was when it was last looked at, by which renewal, and since when: clocks of other
    /// machines are not asked.
    seen: Option<(Option<String>, Option<MicroTime>, Instant)>,
}

impl Leader {
    /// `me` must be another name for every process.
    #[must_use]
    pub fn new(client: Client, namespace: &str, me: String) -> Self {
        let leases = Api::namespaced(client, namespace);
        Self {
            leases,
            me,
            seen: None,
        }
    }

    /// Waits until the Lease is held.
    pub async fn acquire(&mut self) {
        loop {
            match timeout(CALL, self.attempt()).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the Lease could not be taken"),
                Err(_) => tracing::warn!("the API server does not answer about the Lease"),
            }
            sleep(EVERY).await;
        }
    }

    /// Renews it; returns when it is lost, or could not be renewed for too long.
    pub async fn keep(&mut self) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < GIVES_UP {
            sleep(EVERY).await;
            match timeout(CALL, self.attempt()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(%error, "the Lease could not be renewed"),
                Err(_) => tracing::warn!("the API server does not answer about the Lease"),
            }
        }
    }

    /// Lets go of it, so that another begins at once.
    pub async fn release(&mut self) {
        let released = async {
            let mut lease = self.leases.get(NAME).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_ref() != Some(&self.me) {
                return Ok(());
            }
            spec.holder_identity = None;
            let params = PostParams::default();
            self.leases.replace(NAME, &params, &lease).await.map(drop)
        };
        match timeout(CALL, released).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the Lease was not released: it runs out"),
            Err(_) => tracing::warn!("the Lease was not released: it runs out"),
        }
    }

    /// Takes or renews it; false where another has it.
    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let Some(mut lease) = self.leases.get_opt(NAME).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(NAME.to_owned()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.spec(0)),
            };
            return won(self.leases.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
        let transitions = spec.lease_transitions.unwrap_or_default();
        if holder.as_ref() == Some(&self.me) {
            lease.spec = Some(LeaseSpec {
                acquire_time: spec.acquire_time,
                ..self.spec(transitions)
            });
        } else {
            let same = self
                .seen
                .as_ref()
                .filter(|(of, renewed, _)| *of == holder && *renewed == spec.renew_time);
            let since = same.map_or_else(Instant::now, |(_, _, since)| *since);
            self.seen = Some((holder.clone(), spec.renew_time, since));
            if holder.is_some() && since.elapsed() < LASTS {
                return Ok(false);
            }
            lease.spec = Some(self.spec(transitions + 1));
        }
        let params = PostParams::default();
        won(self.leases.replace(NAME, &params, &lease).await)
    }

    fn spec(&self, transitions: i32) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: i32::try_from(LASTS.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

/// A conflict means that another was faster.
fn won(written: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(error)) if error.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
