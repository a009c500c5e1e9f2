//! Tables: what is asked, what is there, what follows.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::{InternalSettings, internal_topics, parent_topic};
use super::*;
use crate::names::Names;

const NORMAL: TopicKind = TopicKind::Parent(ParentType::Normal);
const ORDERED: TopicKind = TopicKind::Parent(ParentType::PartitionOrdered);

fn cluster(brokers: usize) -> Cluster {
    Cluster {
        cluster_id: "c".to_owned(),
        brokers,
    }
}

fn state(partitions: i32, replication_factor: i32, config: &[(&str, &str)]) -> TopicState {
    TopicState {
        topic_id: "id".to_owned(),
        partitions,
        replication_factor,
        config: map(config),
        overridden: config.iter().map(|(key, _)| (*key).to_owned()).collect(),
    }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn spec(kind: TopicKind, partitions: Option<i32>) -> TopicSpec {
    TopicSpec {
        partitions,
        ..TopicSpec::new("t", kind)
    }
}

fn set(key: &str, value: &str) -> ConfigOp {
    ConfigOp::Set(key.to_owned(), value.to_owned())
}

fn config_of(plan: &Plan) -> BTreeMap<String, String> {
    match plan {
        Plan::Create { topic, .. } => topic.config.iter().cloned().collect(),
        Plan::Keep { .. } => panic!("{plan:?} makes nothing"),
    }
}

fn kept(spec: &TopicSpec, state: &TopicState) -> (Option<i32>, Vec<ConfigOp>, Vec<String>) {
    match plan(spec, Some(state), &cluster(3)).unwrap() {
        Plan::Keep {
            partitions,
            configs,
            warnings,
        } => (partitions, configs, warnings),
        made @ Plan::Create { .. } => panic!("{made:?} makes a topic that exists"),
    }
}

#[test]
fn partitions_grow_where_they_may_and_never_shrink() {
    // kind, asked, there -> the new total, or a refusal that names the way out
    type Case = (
        TopicKind,
        Option<i32>,
        i32,
        Result<Option<i32>, &'static str>,
    );
    let cases: [Case; 13] = [
        (NORMAL, None, 5, Ok(None)),
        (NORMAL, Some(5), 5, Ok(None)),
        (NORMAL, Some(6), 5, Ok(Some(6))),
        (NORMAL, Some(4), 5, Err("set partitions to 5 or more")),
        (ORDERED, None, 5, Ok(None)),
        (ORDERED, Some(5), 5, Ok(None)),
        (
            ORDERED,
            Some(6),
            5,
            Err("set partitions to 5, or leave it out"),
        ),
        (
            ORDERED,
            Some(4),
            5,
            Err("set partitions to 5, or leave it out"),
        ),
        (TopicKind::System, Some(12), 24, Ok(None)),
        (TopicKind::System, Some(12), 3, Ok(Some(12))),
        (TopicKind::Internal, Some(8), 8, Ok(None)),
        (
            TopicKind::Internal,
            Some(8),
            9,
            Err("give the instance another name"),
        ),
        (
            TopicKind::Internal,
            Some(8),
            7,
            Err("give the instance another name"),
        ),
    ];
    for (kind, asked, there, expected) in cases {
        let result = plan(&spec(kind, asked), Some(&state(there, 3, &[])), &cluster(3));
        match (&result, expected) {
            (Ok(Plan::Keep { partitions, .. }), Ok(expected)) => assert_eq!(*partitions, expected),
            (Err(error @ ProvisionError::PartitionsMismatch { message }), Err(way_out)) => {
                assert!(message.contains(way_out), "{message}");
                assert!(!error.is_retryable());
            }
            _ => panic!("{kind:?} {asked:?} over {there}: {result:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn slots_that_differ_from_the_topics_are_refused_by_that_name() {
    let names = Names::new("", "ns", "shop");
    let settings = InternalSettings {
        slots: 32,
        replication_factor: None,
        max_expiry: Duration::from_secs(86_400),
        max_packet_size: 2 << 20,
    };
    for spec in internal_topics(&names, &settings) {
        let error = plan(&spec, Some(&state(64, 3, &[])), &cluster(3)).unwrap_err();
        let per_slot = spec.partitions == Some(32);
        assert_eq!(error.reason(), "PartitionsMismatch");
        assert_eq!(
            error.to_string().contains("set slots to 64"),
            per_slot,
            "{error}"
        );
    }
}

#[test]
fn replicas_are_never_moved() {
    let mut spec = spec(NORMAL, None);
    assert_eq!(kept(&spec, &state(1, 1, &[])), (None, vec![], vec![]));
    for (asked, there) in [(3, 1), (1, 3)] {
        spec.replication_factor = Some(asked);
        let error = plan(&spec, Some(&state(1, there, &[])), &cluster(3)).unwrap_err();
        assert_eq!(error.reason(), "ReplicationMismatch");
        assert!(
            error
                .to_string()
                .contains(&format!("set replicationFactor to {there}"))
        );
    }
}

#[test]
fn only_named_configs_are_put_right() {
    let mut spec = spec(NORMAL, None);
    spec.config = map(&[
        ("retention.ms", "1000"),
        ("cleanup.policy", "compact, delete"),
    ]);
    let settled = [
        ("retention.ms", "1000"),
        ("cleanup.policy", "compact,delete"),
        ("other", "1"),
    ];
    assert_eq!(kept(&spec, &state(1, 1, &settled)).1, []);
    let drifted = [
        ("retention.ms", "5"),
        ("cleanup.policy", "compact,delete"),
        ("other", "2"),
    ];
    assert_eq!(
        kept(&spec, &state(1, 1, &drifted)).1,
        [set("retention.ms", "1000")]
    );
}

#[test]
fn a_config_no_longer_named_goes_back_to_the_default_once() {
    let mut spec = spec(NORMAL, None);
    spec.unset = ["retention.ms", "segment.ms", "absent"]
        .map(str::to_owned)
        .into();
    spec.config = map(&[("segment.ms", "7")]);
    let there = state(1, 1, &[("retention.ms", "5"), ("segment.ms", "7")]);
    assert_eq!(
        kept(&spec, &there).1,
        [ConfigOp::Delete("retention.ms".to_owned())]
    );
    assert_eq!(kept(&spec, &state(1, 1, &[("segment.ms", "7")])).1, []);
}

#[test]
fn kafkas_spelling_of_a_value_is_no_drift() {
    for (have, want, expected) in [
        ("1000", " 1000 ", true),
        ("true", "TRUE", true),
        ("0.5", "0.50", true),
        ("compact,delete", "compact , delete", true),
        ("zstd", "gzip", false),
        ("1000", "1001", false),
        ("false", "true", false),
        ("", "x", false),
    ] {
        assert_eq!(same(have, want), expected, "{have:?} {want:?}");
    }
}

#[test]
fn our_topics_follow_the_number_of_brokers() {
    // brokers, asked -> replicas, min.insync.replicas
    for (brokers, asked, replicas, least) in [
        (0, None, 1, "1"),
        (1, None, 1, "1"),
        (2, None, 2, "1"),
        (3, None, 3, "2"),
        (9, None, 3, "2"),
        (9, Some(5), 5, "2"),
        (3, Some(1), 1, "1"),
    ] {
        let mut spec = spec(TopicKind::System, Some(12));
        spec.replication_factor = asked;
        let plan = plan(&spec, None, &cluster(brokers)).unwrap();
        assert_eq!(config_of(&plan).get("min.insync.replicas").unwrap(), least);
        let Plan::Create { topic, .. } = plan else {
            panic!()
        };
        assert_eq!(
            (topic.partitions, topic.replication_factor),
            (Some(12), Some(replicas))
        );
    }
}

#[test]
fn least_insync_replicas_of_our_topics_are_put_right_only_where_they_harm() {
    for (replicas, there, expected) in [
        (3, "1", vec![set("min.insync.replicas", "2")]),
        (3, "2", vec![]),
        (3, "3", vec![]),
        (1, "2", vec![set("min.insync.replicas", "1")]),
        (2, "2", vec![]),
    ] {
        let there = state(12, replicas, &[("min.insync.replicas", there)]);
        assert_eq!(kept(&spec(TopicKind::System, Some(12)), &there).1, expected);
        assert_eq!(
            kept(&spec(NORMAL, None), &there).1,
            [],
            "a parent's are the user's"
        );
    }
}

#[test]
fn our_topics_may_take_larger_records_than_needed() {
    let mut spec = spec(TopicKind::System, None);
    spec.config = map(&[(MAX_MESSAGE_BYTES, "100")]);
    assert_eq!(
        kept(&spec, &state(1, 3, &[(MAX_MESSAGE_BYTES, "101")])).1,
        []
    );
    let less = state(1, 3, &[(MAX_MESSAGE_BYTES, "99")]);
    assert_eq!(kept(&spec, &less).1, [set(MAX_MESSAGE_BYTES, "100")]);
}

#[test]
fn a_parent_made_here_takes_the_largest_envelope_and_an_existing_one_is_left_alone() {
    let mut spec = parent_topic("t", ParentType::Normal, 2 << 20);
    let made = plan(&spec, None, &cluster(3)).unwrap();
    assert_eq!(config_of(&made), map(&[(MAX_MESSAGE_BYTES, "12648448")]));
    let Plan::Create {
        topic, optional, ..
    } = made
    else {
        panic!()
    };
    assert_eq!(
        (topic.partitions, topic.replication_factor),
        (None, None),
        "Kafka's defaults"
    );
    assert!(optional.contains(MAX_MESSAGE_BYTES));

    let (_, configs, warnings) = kept(&spec, &state(1, 1, &[(MAX_MESSAGE_BYTES, "1048588")]));
    assert_eq!(configs, []);
    assert!(
        warnings[0].contains("set config max.message.bytes"),
        "{warnings:?}"
    );

    spec.config = map(&[(MAX_MESSAGE_BYTES, "5000")]);
    let made = plan(&spec, None, &cluster(3)).unwrap();
    assert_eq!(config_of(&made), map(&[(MAX_MESSAGE_BYTES, "5000")]));
    assert!(matches!(made, Plan::Create { optional, .. } if optional.is_empty()));
    assert_eq!(
        kept(&spec, &state(1, 1, &[(MAX_MESSAGE_BYTES, "5000")])).2,
        [""; 0]
    );
}

#[test]
fn a_topic_that_vanished_or_was_made_again_is_told() {
    let spec = TopicSpec {
        topic_id: Some("old".to_owned()),
        ..spec(NORMAL, None)
    };
    let made = plan(&spec, None, &cluster(1)).unwrap();
    assert!(matches!(made, Plan::Create { warnings, .. } if warnings[0].contains("vanished")));
    assert!(kept(&spec, &state(1, 1, &[])).2[0].contains("somebody else"));
}

#[test]
fn what_no_kafka_would_take_is_refused_before_it_is_asked() {
    for name in ["", ".", "..", "a b", "ä", "a/b"] {
        let error = plan(&TopicSpec::new(name, NORMAL), None, &cluster(1)).unwrap_err();
        assert_eq!(error.reason(), "InvalidName", "{name:?}");
    }
    for partitions in [0, -1, 100_001] {
        let error = plan(&spec(NORMAL, Some(partitions)), None, &cluster(1)).unwrap_err();
        assert_eq!(error.reason(), "KafkaRejected");
    }
    let zero = TopicSpec {
        config: map(&[("a", "\0")]),
        ..spec(NORMAL, None)
    };
    assert_eq!(
        plan(&zero, None, &cluster(1)).unwrap_err().reason(),
        "KafkaRejected"
    );
}
