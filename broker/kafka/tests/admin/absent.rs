//! Nobody listens where Kafka should be.

use std::time::{Duration, Instant};

use isthmus_kafka::admin::{Admin, AdminError};
use isthmus_kafka::directory::{DirectoryWriter, Entry, ParentType, read_all};
use isthmus_kafka::provision::{TopicKind, TopicSpec, ensure};

use super::support;

#[test]
fn administration_says_so_within_its_timeout() {
    let started = Instant::now();
    let admin = Admin::new(support::nowhere())
        .unwrap()
        .with_timeout(Duration::from_secs(2));
    let kind = TopicKind::Parent(ParentType::Normal);
    let specs = [TopicSpec::new("a", kind), TopicSpec::new("b", kind)];
    for answer in ensure(&admin, &specs) {
        let error = answer.unwrap_err();
        assert_eq!(error.reason(), "KafkaUnavailable");
        assert!(error.is_retryable());
    }
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
    assert!(matches!(
        admin.describe(&["a"]),
        Err(AdminError::Unavailable(_))
    ));
    assert!(matches!(
        admin.delete(&["a"]),
        Err(AdminError::Unavailable(_))
    ));
    assert!(matches!(
        admin.end_offsets("a"),
        Err(AdminError::Unavailable(_))
    ));
}

#[test]
fn the_directory_says_so_by_the_deadline() {
    let started = Instant::now();
    let deadline = started + Duration::from_secs(1);
    let bootstrap = support::nowhere();
    let error = read_all(&bootstrap, "t", deadline).unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let deadline = Instant::now() + Duration::from_secs(1);
    let writer = DirectoryWriter::new(&bootstrap, "t").unwrap();
    let error = writer
        .write(&[Entry::User("a".to_owned(), None)], deadline)
        .unwrap_err();
    assert!(matches!(error, AdminError::Unavailable(_)), "{error}");
    drop(writer);
    assert!(
        started.elapsed() < Duration::from_secs(6),
        "{:?}",
        started.elapsed()
    );
}
