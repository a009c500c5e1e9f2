//! Who a client is: user name and password against the directory's argon2id hashes.
//!
//! A hash costs tens of milliseconds by design. At most one is computed per core at a time, on
//! blocking threads; further clients wait in order, a bounded number for a bounded time. What was
//! verified once is remembered under a keyed hash ([`cache`]), and a client that waited looks there
//! again first, so that ten thousand devices that come back with one account cost one hash.

mod cache;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use isthmus_mqtt::ReasonCode;
use tokio::sync::Semaphore;

use crate::directory::Directory;
use cache::{Digest, Verified};

/// Verified credentials remembered.
const CACHED: usize = 100_000;
/// Clients that wait for a place to have their password checked.
const MAX_WAITING: usize = 10_000;
/// How long each of them waits.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// What an unknown user's password is checked against, so that the answer takes as long as a
/// known one's. Nobody is let in by it.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5MTIzNA\
                      $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Who a client turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// No user name, and that is allowed.
    Anonymous,
    /// An enabled user of the directory.
    User(Arc<str>),
}

impl Identity {
    /// The user name; `None` for an anonymous client.
    #[must_use]
    pub fn username(&self) -> Option<&Arc<str>> {
        match self {
            Self::Anonymous => None,
            Self::User(name) => Some(name),
        }
    }
}

/// Why a client was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No user name.
    #[error("anonymous clients are not allowed")]
    AnonymousRefused,
    /// Unknown or disabled user, or wrong password: the client is not told which.
    #[error("bad user name or password")]
    BadCredentials,
    /// Too many passwords wait to be checked.
    #[error("too many clients wait to be authenticated")]
    Busy,
}

impl AuthError {
    /// What CONNACK says.
    #[must_use]
    pub const fn reason_code(self) -> ReasonCode {
        match self {
            Self::AnonymousRefused => ReasonCode::NOT_AUTHORIZED,
            Self::BadCredentials => ReasonCode::BAD_USER_NAME_OR_PASSWORD,
            Self::Busy => ReasonCode::SERVER_BUSY,
        }
    }
}

/// Checks credentials. Share it in an `Arc`.
#[derive(Debug)]
pub struct Authenticator {
    directory: Arc<Directory>,
    allow_anonymous: bool,
    verified: Verified,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_waiting: usize,
    max_wait: Duration,
}

impl Authenticator {
    /// With one hash at a time per core.
    ///
    /// # Errors
    /// When the system gives no random key for the cache.
    pub fn new(
        directory: Arc<Directory>,
        authentication: &isthmus_config::Authentication,
    ) -> Result<Self, getrandom::Error> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            directory,
            allow_anonymous: authentication.allow_anonymous,
            verified: Verified::new(CACHED)?,
            places: Arc::new(Semaphore::new(cores)),
            waiting: AtomicUsize::new(0),
            max_waiting: MAX_WAITING,
            max_wait: MAX_WAIT,
        })
    }

    /// Who this is. A user name without a password has the empty one; a password without a user
    /// name (MQTT 5) is that of an anonymous client.
    ///
    /// # Errors
    /// Why the client is not let in.
    pub async fn authenticate(
        &self,
        username: Option<&str>,
        password: Option<&[u8]>,
    ) -> Result<Identity, AuthError> {
        let Some(username) = username else {
            return match self.allow_anonymous {
                true => Ok(Identity::Anonymous),
                false => Err(AuthError::AnonymousRefused),
            };
        };
        let password = password.unwrap_or_default();
        let user = self.directory.snapshot().users.get(username).cloned();
        let hash = user
            .as_ref()
            .map_or(NOBODY, |user| user.password_hash.as_str());
        let digest = self.verified.digest(username, password, hash);
        let right = self.verify(digest, password, hash).await?;
        match user {
            Some(user) if right && user.enabled => Ok(Identity::User(Arc::from(username))),
            _ => Err(AuthError::BadCredentials),
        }
    }

    async fn verify(&self, digest: Digest, password: &[u8], hash: &str) -> Result<bool, AuthError> {
        if self.verified.contains(&digest) {
            return Ok(true);
        }
        let _waiting = Waiting::enter(&self.waiting, self.max_waiting).ok_or(AuthError::Busy)?;
        let place = Arc::clone(&self.places).acquire_owned();
        let place = match tokio::time::timeout(self.max_wait, place).await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) | Err(_) => return Err(AuthError::Busy),
        };
        if self.verified.contains(&digest) {
            return Ok(true);
        }
        let (password, hash) = (password.to_vec(), hash.to_owned());
        let check = tokio::task::spawn_blocking(move || {
            // Held by the work, not by the client that may leave meanwhile.
            let _place = place;
            matches(&password, &hash)
        });
        let right = check.await.unwrap_or(false);
        if right {
            self.verified.insert(digest);
        }
        Ok(right)
    }
}

/// One place among the clients that wait.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize, max: usize) -> Option<Self> {
        let entered = Self(count);
        let before = count.fetch_add(1, Ordering::Relaxed);
        (before < max).then_some(entered)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn matches(password: &[u8], hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else {
        tracing::warn!("a password hash of the directory is not a PHC string");
        return false;
    };
    Argon2::default().verify_password(password, &hash).is_ok()
}

#[cfg(test)]
mod tests;
