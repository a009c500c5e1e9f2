//! The Secret with a user's password: one that the administrator made, or one that is made here.
//!
//! Invariants: a Secret is made where there is none, and never written again, whosever it is (the
//! operator has no right to); it is read once for each of its versions, and its password hashed once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Resource as _, ResourceExt as _};
use tokio::sync::Semaphore;

use super::ValidUser;
use super::build::secret_data;
use super::password::{generate, keep_or_hash};
use super::resource::MqttUser;
use super::validate::PasswordSource;
use crate::control::events::reference_of;
use crate::control::stores::get;
use crate::control::verdict::{Stop, Verdict};
use crate::control::{Context, Error};
use crate::instance::objects::{INSTANCE, MANAGED_BY, MANAGER};

/// Passwords that are hashed at the same time: each takes 19 MiB (argon2id).
const AT_ONCE: usize = 2;

/// What a Secret's version is known to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Password {
    /// The hash of the password.
    pub(super) hash: String,
    /// The URI in a generated Secret is another one than it would be now. What is made once is never
    /// written again, so somebody has to know.
    pub(super) outdated: bool,
}

/// The password that was found in a Secret's version, by the user's uid.
pub struct Hashes {
    known: Mutex<HashMap<String, (String, Password)>>,
    turns: Semaphore,
}

impl Default for Hashes {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
        }
    }
}

impl Hashes {
    fn of(&self, uid: &str, version: &str) -> Option<Password> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, password) = known.get(uid)?;
        (of == version).then(|| password.clone())
    }

    fn note(&self, uid: &str, version: String, password: &Password) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(uid.to_owned(), (version, password.clone()));
    }
}

/// Which Secret a user's password is in, and what a generated one says besides.
struct Wanted<'a> {
    name: &'a str,
    key: &'a str,
    /// Of a generated one: the URI of the instance's listener, empty while that is not known.
    address: Option<&'a str>,
}

impl Wanted<'_> {
    /// What a hash is known for.
    fn version(&self, of: Option<String>) -> String {
        let (address, of) = (self.address.unwrap_or_default(), of.unwrap_or_default());
        format!("{} {} {address} {of}", self.name, self.key)
    }
}

/// The Secret's name and the hash of the password in it; `stored` is the hash in the directory and
/// `address` the URI of the instance's listener.
pub(super) async fn hash(
    ctx: &Context,
    user: &MqttUser,
    valid: &ValidUser,
    address: &str,
    stored: Option<String>,
) -> Result<(String, Password), Stop> {
    let wanted = match &valid.password {
        PasswordSource::Given(reference) => Wanted {
            name: &reference.name,
            key: &reference.key,
            address: None,
        },
        PasswordSource::Generated(name) => Wanted {
            name,
            key: "password",
            address: Some(address),
        },
    };
    let name = wanted.name.to_owned();
    let uid = user.uid().unwrap_or_default();
    match get(&ctx.stores.secrets, &valid.namespace, &name) {
        Some(seen) => {
            if wanted.address.is_some() && !is_owned(&*seen, &uid) {
                return Err(conflict(&name).into());
            }
            let known = ctx
                .hashes
                .of(&uid, &wanted.version(seen.resource_version()));
            if let Some(known) =
                known.filter(|known| stored.as_ref().is_none_or(|s| *s == known.hash))
            {
                return Ok((name, known));
            }
        }
        None if wanted.address.is_some() => make(ctx, user, valid, &wanted).await?,
        // The watch may be behind.
        None => {}
    }
    let (secret, password) = read(ctx, &uid, valid, &wanted).await?;
    let data = secret.data.unwrap_or_default();
    let outdated = wanted
        .address
        .is_some_and(|a| is_outdated(valid, &password, a, &data));
    // Never closed.
    let _turn = ctx.hashes.turns.acquire().await;
    let hashed = tokio::task::spawn_blocking(move || keep_or_hash(&password, stored.as_deref()));
    let password = match hashed.await {
        Ok(Ok(hash)) => Password { hash, outdated },
        Ok(Err(error)) => return Err(Error::Later(error.to_string()).into()),
        Err(error) => return Err(Error::Later(error.to_string()).into()),
    };
    let version = wanted.version(secret.metadata.resource_version);
    ctx.hashes.note(&uid, version, &password);
    Ok((name, password))
}

fn is_owned<K: kube::Resource>(secret: &K, uid: &str) -> bool {
    secret
        .owner_references()
        .iter()
        .any(|owner| owner.uid == uid)
}

fn conflict(name: &str) -> Verdict {
    let message = format!(
        "Secret {name} is there and not this user's: name it in spec.passwordSecretRef to use it, or set another spec.generatedSecretName"
    );
    Verdict::stalled("SecretConflict", message)
}

/// The Secret and the password in it.
async fn read(
    ctx: &Context,
    uid: &str,
    valid: &ValidUser,
    wanted: &Wanted<'_>,
) -> Result<(Secret, Vec<u8>), Stop> {
    let Wanted { name, key, .. } = wanted;
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &valid.namespace);
    let Some(secret) = api.get_opt(name).await? else {
        let message = format!(
            "Secret {name} is not in namespace {}: make it with the key {key:?}, or leave spec.passwordSecretRef out to have one generated",
            valid.namespace
        );
        return Err(Verdict::no("SecretNotFound", message).into());
    };
    // It may be newer than what was seen.
    if wanted.address.is_some() && !is_owned(&secret, uid) {
        return Err(conflict(name).into());
    }
    let none = BTreeMap::new();
    let password = password(name, key, secret.data.as_ref().unwrap_or(&none))?;
    Ok((secret, password))
}

fn password(
    name: &str,
    key: &str,
    data: &BTreeMap<String, ByteString>,
) -> Result<Vec<u8>, Verdict> {
    let message = match data.get(key) {
        Some(password) if !password.0.is_empty() => return Ok(password.0.clone()),
        Some(_) => format!("key {key:?} of Secret {name} is empty: set a password"),
        None => {
            let keys: Vec<&str> = data.keys().map(String::as_str).collect();
            let keys = if keys.is_empty() {
                "none".to_owned()
            } else {
                keys.join(", ")
            };
            format!("Secret {name} has no key {key:?}, it has: {keys}")
        }
    };
    Err(Verdict::no("SecretNotFound", message))
}

/// Whether the URI in a generated Secret is another one than it would be now.
fn is_outdated(
    valid: &ValidUser,
    password: &[u8],
    address: &str,
    data: &BTreeMap<String, ByteString>,
) -> bool {
    let Ok(password) = std::str::from_utf8(password) else {
        return false;
    };
    let wanted = said(valid, password, address);
    let has = data.get("uri").map(|uri| uri.0.as_slice());
    let uri = wanted.get("uri");
    uri.is_some_and(|uri| has != Some(uri.as_bytes()))
}

/// No URI while nobody knows where the instance is.
fn said(valid: &ValidUser, password: &str, address: &str) -> BTreeMap<&'static str, String> {
    let known = |(key, _): &(&str, String)| *key != "uri" || !address.is_empty();
    let data = secret_data(valid, password, address).into_iter();
    data.filter(known).collect()
}

/// Makes the Secret with a new password.
async fn make(
    ctx: &Context,
    user: &MqttUser,
    valid: &ValidUser,
    wanted: &Wanted<'_>,
) -> Result<(), Stop> {
    let password = generate().map_err(|error| Error::Later(error.to_string()))?;
    let data = said(valid, &password, wanted.address.unwrap_or_default());
    let labels = [(MANAGED_BY, MANAGER), (INSTANCE, &valid.instance)];
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(wanted.name.to_owned()),
            namespace: Some(valid.namespace.clone()),
            labels: Some(labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
            owner_references: user.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        string_data: Some(data.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ..Secret::default()
    };
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &valid.namespace);
    match api.create(&PostParams::default(), &secret).await {
        Ok(_) => {
            ctx.metrics.written("Secret", "create");
            let note = format!("made Secret {} with a password", wanted.name);
            let about = reference_of(user);
            ctx.events.done(&about, "SecretGenerated", &note).await;
            Ok(())
        }
        // The watch is behind: whose it is shows when it is read.
        Err(kube::Error::Api(error)) if error.code == 409 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn user() -> ValidUser {
        let resource = serde_json::from_value(json!({
            "apiVersion": "mqtt.isthmus.dev/v1alpha1", "kind": "MqttUser",
            "metadata": {"name": "demo", "namespace": "iot"},
            "spec": {"instanceRef": {"name": "plant"}},
        }))
        .unwrap();
        crate::user::validate(&resource, None).unwrap()
    }

    fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, ByteString> {
        let pair = |(key, value): &(&str, &str)| {
            ((*key).to_owned(), ByteString(value.as_bytes().to_vec()))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_uri_that_is_not_up_to_date_is_noticed() {
        let there = data(&[("uri", "mqtt://demo:p@a:1")]);
        let outdated = |password: &[u8], address| is_outdated(&user(), password, address, &there);
        assert!(!outdated(b"p", "mqtt://a:1"));
        assert!(outdated(b"p", "mqtt://b:1"), "the instance moved");
        assert!(outdated(b"q", "mqtt://a:1"), "somebody edited the password");
        assert!(!outdated(b"p", ""), "nobody knows better");
        assert!(!outdated(&[0xff], "mqtt://a:1"), "no URI holds that");
    }

    #[test]
    fn a_secret_without_the_password_is_said_with_what_it_has() {
        let said = |pairs| password("s", "pw", &data(pairs)).unwrap_err().message;
        assert!(said(&[("a", "1"), ("b", "2")]).contains("it has: a, b"));
        assert!(said(&[]).contains("it has: none"));
        assert!(said(&[("pw", "")]).contains("is empty"));
        assert_eq!(password("s", "pw", &data(&[("pw", "x")])).unwrap(), b"x");
    }

    #[test]
    fn a_hash_is_known_for_one_version_of_one_secret() {
        let hashes = Hashes::default();
        let wanted = |key, address| Wanted {
            name: "s",
            key,
            address,
        };
        let version = |of: &str| wanted("k", None).version(Some(of.to_owned()));
        let password = Password {
            hash: "hash".to_owned(),
            outdated: false,
        };
        hashes.note("uid", version("1"), &password);
        assert_eq!(hashes.of("uid", &version("1")), Some(password));
        assert_eq!(hashes.of("uid", &version("2")), None);
        let moved = wanted("k", Some("mqtt://a:1")).version(Some("1".to_owned()));
        assert_eq!(hashes.of("uid", &moved), None);
    }
}
