//! The authenticator against a directory with real, but cheap, argon2id hashes.

use std::time::Instant;

use argon2::password_hash::{PasswordHasher, SaltString};
use isthmus_config::Authentication;
use isthmus_kafka::directory::{Entry, ManagedBy, User, VERSION};

use super::*;

/// `cost` in KiB; argon2 needs 8.
fn hash(password: &[u8], cost: u32) -> String {
    let params = argon2::Params::new(cost, 1, 1, None).unwrap();
    let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let salt = SaltString::encode_b64(b"0123456789abcdef").unwrap();
    argon2.hash_password(password, &salt).unwrap().to_string()
}

fn user(name: &str, enabled: bool, password_hash: String) -> Entry {
    let user = User {
        v: VERSION,
        managed_by: ManagedBy::Api,
        enabled,
        password_hash,
    };
    Entry::User(name.into(), Some(user))
}

fn authenticator(allow_anonymous: bool) -> Authenticator {
    let directory = Arc::new(Directory::new());
    directory.apply([
        user("device", true, hash(b"secret", 8)),
        user("disabled", false, hash(b"secret", 8)),
        user("broken", true, "plain".into()),
    ]);
    let authentication = Authentication {
        allow_anonymous,
        anonymous_acl: vec![],
    };
    Authenticator::new(directory, &authentication).unwrap()
}

#[tokio::test]
async fn credentials_decide() {
    let auth = authenticator(false);
    let device = auth
        .authenticate(Some("device"), Some(b"secret"))
        .await
        .unwrap();
    assert_eq!(device, Identity::User("device".into()));
    for (username, password) in [
        ("device", Some(&b"Secret"[..])),
        ("device", None),
        ("disabled", Some(b"secret")),
        ("unknown", Some(b"secret")),
        ("broken", Some(b"plain")),
        ("", Some(b"")),
    ] {
        let answer = auth.authenticate(Some(username), password).await;
        assert_eq!(
            answer,
            Err(AuthError::BadCredentials),
            "{username} {password:?}"
        );
    }
}

#[tokio::test]
async fn anonymous_clients_need_the_instances_leave_and_wrong_ones_are_not_anonymous() {
    let closed = authenticator(false).authenticate(None, None).await;
    assert_eq!(closed, Err(AuthError::AnonymousRefused));
    let open = authenticator(true);
    assert_eq!(
        open.authenticate(None, Some(b"x")).await,
        Ok(Identity::Anonymous)
    );
    let wrong = open.authenticate(Some("unknown"), Some(b"x")).await;
    assert_eq!(wrong, Err(AuthError::BadCredentials));
}

#[tokio::test]
async fn changes_of_password_and_of_the_user_count_at_once() {
    let auth = authenticator(false);
    auth.authenticate(Some("device"), Some(b"secret"))
        .await
        .unwrap();
    auth.directory
        .apply([user("device", true, hash(b"other", 8))]);
    let old = auth.authenticate(Some("device"), Some(b"secret")).await;
    assert_eq!(old, Err(AuthError::BadCredentials));
    auth.authenticate(Some("device"), Some(b"other"))
        .await
        .unwrap();
    auth.directory
        .apply([user("device", false, hash(b"other", 8))]);
    let disabled = auth.authenticate(Some("device"), Some(b"other")).await;
    assert_eq!(disabled, Err(AuthError::BadCredentials));
    auth.directory.apply([Entry::User("device".into(), None)]);
    let deleted = auth.authenticate(Some("device"), Some(b"other")).await;
    assert_eq!(deleted, Err(AuthError::BadCredentials));
}

#[tokio::test]
async fn a_storm_with_one_account_costs_a_few_hashes() {
    let auth = Arc::new(authenticator(false));
    auth.directory
        .apply([user("slow", true, hash(b"secret", 64 * 1024))]);
    let start = Instant::now();
    auth.authenticate(Some("slow"), Some(b"secret"))
        .await
        .unwrap();
    let one = start.elapsed();
    auth.directory
        .apply([user("slow", true, hash(b"secret", 64 * 1024 + 8))]);
    let start = Instant::now();
    let mut storm = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let auth = auth.clone();
        storm.spawn(async move {
            auth.authenticate(Some("slow"), Some(b"secret"))
                .await
                .is_ok()
        });
    }
    assert!(storm.join_all().await.into_iter().all(|let_in| let_in));
    assert!(
        start.elapsed() < one * 100,
        "{:?} for 1000, {one:?} for one",
        start.elapsed()
    );
}

#[tokio::test]
async fn waiting_is_bounded_in_number_and_time() {
    let mut auth = authenticator(false);
    auth.max_wait = Duration::from_millis(20);
    auth.places = Arc::new(Semaphore::new(0));
    let late = auth.authenticate(Some("device"), Some(b"secret")).await;
    assert_eq!(late, Err(AuthError::Busy));
    auth.max_waiting = 0;
    auth.places = Arc::new(Semaphore::new(1));
    let one_too_many = auth.authenticate(Some("device"), Some(b"secret")).await;
    assert_eq!(one_too_many, Err(AuthError::Busy));
    assert_eq!(auth.waiting.load(Ordering::Relaxed), 0);
    auth.max_waiting = 1;
    assert!(
        auth.authenticate(Some("device"), Some(b"secret"))
            .await
            .is_ok()
    );
}
