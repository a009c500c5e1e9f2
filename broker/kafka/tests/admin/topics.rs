//! Provisioning and administration against a real Kafka.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use isthmus_kafka::admin::{Admin, ConfigOp, NewTopic};
use isthmus_kafka::directory::{DirectoryWriter, Entry, ParentType};
use isthmus_kafka::names::Names;
use isthmus_kafka::provision::{
    Ensured, InternalSettings, Outcome, ProvisionError, SystemSettings, TopicKind, TopicSpec,
    ensure, internal_topics, parent_topic, system_topics,
};

use super::support;

const NORMAL: TopicKind = TopicKind::Parent(ParentType::Normal);
const ORDERED: TopicKind = TopicKind::Parent(ParentType::PartitionOrdered);

fn admin(kafka: &support::Kafka) -> Admin {
    Admin::new(kafka.bootstrap())
        .unwrap()
        .with_timeout(Duration::from_secs(30))
}

fn one(admin: &Admin, spec: &TopicSpec) -> Result<Ensured, ProvisionError> {
    let mut answers = ensure(admin, std::slice::from_ref(spec));
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

fn make(admin: &Admin, name: &str, partitions: i32, config: &[(&str, &str)]) {
    let topic = NewTopic {
        name: name.to_owned(),
        partitions: Some(partitions),
        replication_factor: Some(1),
        config: config
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
    };
    admin
        .create(&[topic])
        .unwrap()
        .remove(name)
        .unwrap()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while admin.describe(&[name]).unwrap()[name].is_none() {
        assert!(Instant::now() < end, "{name} is not seen");
    }
}

fn config(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn set(key: &str, value: &str) -> ConfigOp {
    ConfigOp::Set(key.to_owned(), value.to_owned())
}

#[test]
fn the_topics_of_an_instance_are_made_once_and_found_unchanged() {
    let kafka = support::shared();
    let admin = admin(&kafka);
    let names = Names::new("made.", "ns", "shop");
    let mut specs = internal_topics(
        &names,
        &InternalSettings {
            slots: 4,
            replication_factor: None,
            max_expiry: Duration::from_secs(86_400),
            max_packet_size: 2 << 20,
        },
    );
    let system = SystemSettings {
        partitions: 3,
        replication_factor: None,
        retention: Duration::from_secs(3600),
    };
    specs.extend(system_topics(&names, &system));

    let made: Vec<Ensured> = ensure(&admin, &specs)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    for (spec, made) in specs.iter().zip(&made) {
        assert_eq!(made.outcome, Outcome::Created, "{}", spec.name);
        assert_eq!(
            (&made.changes, &made.warnings),
            (&vec![], &vec![]),
            "{}",
            spec.name
        );
        assert_eq!(Some(made.state.partitions), spec.partitions);
        assert_eq!(made.state.replication_factor, 1, "one broker");
        for (key, value) in spec.config.iter().chain(&spec.defaults) {
            assert_eq!(
                made.state.config.get(key),
                Some(value),
                "{} {key}",
                spec.name
            );
            assert!(made.state.overridden.contains(key), "{} {key}", spec.name);
        }
    }
    let again: Vec<Ensured> = ensure(&admin, &specs)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    for (made, again) in made.iter().zip(&again) {
        assert_eq!(again.outcome, Outcome::Unchanged);
        assert_eq!(again.state, made.state, "the topic id included");
    }

    let directory = names.directory();
    let (_, found) = specs
        .iter()
        .zip(&again)
        .find(|(spec, _)| spec.name == directory)
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let writer = DirectoryWriter::new(kafka.bootstrap(), &directory).unwrap();
    writer
        .write(&[Entry::User("u".to_owned(), None)], deadline)
        .unwrap();
    assert_eq!(kafka.topic_id_on_disk(&directory), found.state.topic_id);
}

#[test]
fn the_cluster_is_known_by_the_id_it_was_formatted_with() {
    let kafka = support::shared();
    let cluster = admin(&kafka).cluster().unwrap();
    assert_eq!(
        (cluster.cluster_id.as_str(), cluster.brokers),
        ("MkU3OEVBNTcwNTJENDM2Qg", 1)
    );
}

#[test]
fn an_existing_topic_is_adopted_with_what_is_in_it() {
    let kafka = support::shared();
    let admin = admin(&kafka);
    make(
        &admin,
        "adopted",
        2,
        &[("max.message.bytes", "2000000"), ("segment.ms", "70000")],
    );
    let deadline = Instant::now() + Duration::from_secs(20);
    let entries: Vec<_> = (0..50)
        .map(|n| Entry::User(format!("u{n}"), None))
        .collect();
    DirectoryWriter::new(kafka.bootstrap(), "adopted")
        .unwrap()
        .write(&entries, deadline)
        .unwrap();
    let ends = admin.end_offsets("adopted").unwrap();
    assert_eq!(ends.values().sum::<i64>(), 50);
    let before = admin
        .describe(&["adopted"])
        .unwrap()
        .remove("adopted")
        .unwrap()
        .unwrap();

    let mut spec = parent_topic("adopted", ParentType::Normal, 2 << 20);
    spec.config = config(&[("retention.ms", "3600000")]);
    let adopted = one(&admin, &spec).unwrap();
    assert_eq!(adopted.outcome, Outcome::Adopted);
    assert_eq!(adopted.changes, ["retention.ms 604800000 -> 3600000"]);
    assert_eq!(adopted.state.topic_id, before.topic_id);
    assert_eq!(
        adopted.state.max_message_bytes(),
        2_000_000,
        "never silently changed"
    );
    assert!(adopted.warnings[0].contains("takes records up to 2000000 bytes"));
    assert_eq!(adopted.state.config["segment.ms"], "70000");
    assert_eq!(admin.end_offsets("adopted").unwrap(), ends);

    spec.topic_id = Some(adopted.state.topic_id);
    assert_eq!(one(&admin, &spec).unwrap().outcome, Outcome::Unchanged);
}

#[test]
fn partitions_are_added_and_never_taken_away() {
    let kafka = support::shared();
    let admin = admin(&kafka);
    let mut spec = TopicSpec {
        partitions: Some(2),
        ..parent_topic("grows", ParentType::Normal, 1024)
    };
    let made = one(&admin, &spec).unwrap();
    assert_eq!((made.outcome, made.state.partitions), (Outcome::Created, 2));
    assert_eq!(made.state.max_message_bytes(), 6 * 1024 + 64 * 1024);

    spec.topic_id = Some(made.state.topic_id.clone());
    spec.partitions = Some(5);
    let grown = one(&admin, &spec).unwrap();
    assert_eq!(
        (grown.outcome, grown.state.partitions),
        (Outcome::Changed, 5)
    );
    assert_eq!(grown.changes, ["partitions 2 -> 5"]);
    assert_eq!(grown.state.topic_id, made.state.topic_id);

    spec.partitions = Some(4);
    let error = one(&admin, &spec).unwrap_err();
    assert_eq!(error.reason(), "PartitionsMismatch");
    assert!(
        error.to_string().contains("set partitions to 5 or more"),
        "{error}"
    );
    spec.partitions = Some(6);
    spec.kind = ORDERED;
    assert_eq!(
        one(&admin, &spec).unwrap_err().reason(),
        "PartitionsMismatch"
    );
    assert_eq!(
        admin.describe(&["grows"]).unwrap()["grows"]
            .as_ref()
            .unwrap()
            .partitions,
        5
    );
}

#[test]
fn drift_is_put_right_and_what_is_not_named_stays() {
    let kafka = support::shared();
    let admin = admin(&kafka);
    let mut spec = TopicSpec::new("drifts", NORMAL);
    spec.config = config(&[
        ("retention.ms", "1000000"),
        ("cleanup.policy", "compact, delete"),
    ]);
    let made = one(&admin, &spec).unwrap();
    spec.topic_id = Some(made.state.topic_id);
    assert_eq!(
        one(&admin, &spec).unwrap().outcome,
        Outcome::Unchanged,
        "spelled otherwise"
    );

    let drift = [set("retention.ms", "5000"), set("segment.ms", "123456")];
    admin
        .set_configs(&[("drifts", &drift)])
        .unwrap()
        .remove("drifts")
        .unwrap()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while admin.describe(&["drifts"]).unwrap()["drifts"]
        .as_ref()
        .unwrap()
        .config["segment.ms"]
        != "123456"
    {
        assert!(Instant::now() < end);
    }
    let right = one(&admin, &spec).unwrap();
    assert_eq!(right.outcome, Outcome::Changed);
    assert_eq!(right.changes, ["retention.ms 5000 -> 1000000"]);
    assert_eq!(right.state.config["segment.ms"], "123456");

    spec.config.remove("retention.ms");
    spec.unset = ["retention.ms".to_owned()].into();
    let back = one(&admin, &spec).unwrap();
    assert_eq!(
        back.changes,
        ["retention.ms 1000000 -> the cluster's default"]
    );
    assert_eq!(back.state.config["retention.ms"], "604800000");
    assert!(!back.state.overridden.contains("retention.ms"));
    assert_eq!(back.state.config["segment.ms"], "123456");
    assert_eq!(one(&admin, &spec).unwrap().outcome, Outcome::Unchanged);
}

#[test]
fn a_refused_topic_says_why_and_does_not_hold_up_the_others() {
    let kafka = support::shared();
    let admin = admin(&kafka);
    make(&admin, "plant.line", 1, &[]);
    let three = TopicSpec {
        replication_factor: Some(3),
        ..TopicSpec::new("three-copies", NORMAL)
    };
    let odd = TopicSpec {
        config: config(&[("no.such", "1")]),
        ..TopicSpec::new("odd", NORMAL)
    };
    let more = TopicSpec {
        replication_factor: Some(2),
        ..TopicSpec::new("plant.line", NORMAL)
    };
    let specs = [
        TopicSpec::new("plant_line", NORMAL),
        three,
        odd,
        TopicSpec::new("not a name", NORMAL),
        more,
        TopicSpec::new("well", NORMAL),
        TopicSpec::new("well", NORMAL),
    ];
    let answers = ensure(&admin, &specs);
    let expected = [
        ("NameCollision", "plant.line"),
        ("KafkaRejected", "replicationFactor"),
        ("KafkaRejected", "no.such"),
        ("InvalidName", "not a name"),
        ("ReplicationMismatch", "set replicationFactor to 1"),
    ];
    for ((reason, words), answer) in expected.into_iter().zip(&answers) {
        let error = answer.as_ref().unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.is_retryable());
    }
    assert_eq!(answers[5].as_ref().unwrap().outcome, Outcome::Created);
    assert_eq!(
        answers[6].as_ref().unwrap().state,
        answers[5].as_ref().unwrap().state
    );
}

#[test]
fn a_default_that_the_cluster_refuses_is_left_out_with_a_warning() {
    let kafka = support::shared();
    let admin = admin(&kafka);
    let mut spec = TopicSpec::new("capped", NORMAL);
    spec.defaults = config(&[("max.message.bytes", "-5")]);
    let made = one(&admin, &spec).unwrap();
    assert_eq!(
        (made.outcome, made.state.max_message_bytes()),
        (Outcome::Created, 1_048_588)
    );
    assert!(
        made.warnings[0].contains("Kafka refused max.message.bytes"),
        "{:?}",
        made.warnings
    );

    let mut spec = TopicSpec::new("refused", NORMAL);
    spec.config = config(&[("max.message.bytes", "-5")]);
    assert_eq!(one(&admin, &spec).unwrap_err().reason(), "KafkaRejected");
    assert_eq!(admin.describe(&["refused"]).unwrap()["refused"], None);
}

#[test]
fn a_topic_that_vanished_is_made_again_and_told() {
    let kafka = support::shared();
    let admin = admin(&kafka);
    let mut spec = TopicSpec::new("vanishes", NORMAL);
    let made = one(&admin, &spec).unwrap();
    spec.topic_id = Some(made.state.topic_id.clone());
    assert_eq!(admin.delete(&["vanishes"]).unwrap()["vanishes"], Ok(()));
    assert_eq!(
        admin.delete(&["vanishes"]).unwrap()["vanishes"],
        Ok(()),
        "absent is deleted"
    );
    let again = one(&admin, &spec).unwrap();
    assert_eq!(again.outcome, Outcome::Created);
    assert_ne!(again.state.topic_id, made.state.topic_id);
    assert_eq!(again.warnings.len(), 1);
    assert!(again.warnings[0].contains("vanished"));
}
