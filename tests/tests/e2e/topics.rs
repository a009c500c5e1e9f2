//! Parent topics: made, adopted, grown, put right, claimed, deleted.

use isthmus_tests::cluster::{SOON, Space, condition, kafka};
use isthmus_tests::records::{Outgoing, Tail};
use isthmus_tests::{eventually, unique};

use super::{config_of, delete_topic, set_config};

fn parent(name: &str, spec: &str) -> String {
    Space::of_plant("ParentTopic", name, spec)
}

#[test]
#[ignore = "make e2e"]
fn a_parent_topic_is_made_and_its_status_says_what_kafka_has() {
    let space = Space::new("made");
    space.stopped("plant");
    space.apply(&parent("t", "partitions: 3, retention: 1h"));
    let made = space.ready("mqttpt", "t");
    assert_eq!(condition(&made, "Ready", "reason"), "Created");
    let status = &made["status"];
    assert_eq!(status["kafkaTopic"], space.topic("t"));
    assert_eq!(status["partitions"], 3);
    assert_eq!(status["config"]["retention.ms"], "3600000");
    assert!(status["topicId"].as_str().is_some_and(|id| !id.is_empty()));
    assert!(kafka().topics().contains(&space.topic("t")));
    assert!(space.event("TopicCreated").contains(&space.topic("t")));
}

#[test]
#[ignore = "make e2e"]
fn a_topic_with_data_is_adopted_as_it_is() {
    let space = Space::new("adopted");
    let topic = space.topic("old");
    kafka().create_topic(&topic, 2);
    Outgoing::new(&topic, "before").send(&kafka().bootstrap());
    space.stopped("plant");
    space.apply(&parent("old", ""));
    let adopted = space.ready("mqttpt", "old");
    assert_eq!(condition(&adopted, "Ready", "reason"), "Adopted");
    assert_eq!(adopted["status"]["partitions"], 2);
    let mut tail = Tail::from_start(&kafka().bootstrap(), &topic);
    tail.find("the record from before", |record| record.text() == "before");
}

#[test]
#[ignore = "make e2e"]
fn partitions_grow_and_never_shrink() {
    let space = Space::new("grown");
    space.stopped("plant");
    space.apply(&parent("t", "partitions: 2"));
    space.ready("mqttpt", "t");
    space.apply(&parent("t", "partitions: 4"));
    space.until("mqttpt", "t", "grown", |t| t["status"]["partitions"] == 4);
    let said = space.try_apply(&parent("t", "partitions: 3")).unwrap_err();
    assert!(said.contains("Kafka cannot take partitions away"), "{said}");
}

#[test]
#[ignore = "make e2e"]
fn fewer_partitions_than_an_adopted_topic_has_are_refused() {
    let space = Space::new("fewer");
    kafka().create_topic(&space.topic("t"), 5);
    space.stopped("plant");
    space.apply(&parent("t", "partitions: 3"));
    let said = space.refused("mqttpt", "t", "PartitionsMismatch");
    assert!(said.contains('5') && said.contains('3'), "{said}");
}

#[test]
#[ignore = "make e2e"]
fn another_replication_factor_is_said_and_not_forced() {
    let space = Space::new("replicas");
    kafka().create_topic(&space.topic("t"), 1);
    space.stopped("plant");
    space.apply(&parent("t", "replicationFactor: 3"));
    space.refused("mqttpt", "t", "ReplicationMismatch");
}

#[test]
#[ignore = "make e2e"]
fn drift_of_what_is_named_is_put_right_and_nothing_else() {
    let space = Space::new("drift");
    let topic = space.topic("t");
    space.stopped("plant");
    space.apply(&parent("t", "retention: 1h"));
    space.ready("mqttpt", "t");
    set_config(&topic, "retention.ms", "1000");
    set_config(&topic, "segment.ms", "777777");
    eventually("the retention is put right", SOON, || {
        (config_of(&topic, "retention.ms") == "3600000").then_some(())
    });
    assert_eq!(config_of(&topic, "segment.ms"), "777777");
    assert!(space.event("TopicChanged").contains("retention.ms"));
}

#[test]
#[ignore = "make e2e"]
fn a_config_that_is_named_no_more_goes_back_to_the_clusters_own() {
    let space = Space::new("unset");
    let topic = space.topic("t");
    space.stopped("plant");
    space.apply(&parent("t", "config: {segment.ms: \"600000\"}"));
    space.ready("mqttpt", "t");
    assert_eq!(config_of(&topic, "segment.ms"), "600000");
    space.apply(&parent("t", ""));
    eventually("the config is the cluster's", SOON, || {
        (config_of(&topic, "segment.ms") != "600000").then_some(())
    });
}

#[test]
#[ignore = "make e2e"]
fn a_config_that_kafka_refuses_is_said_in_its_words() {
    let space = Space::new("wrong");
    space.stopped("plant");
    space.apply(&parent("t", "config: {retention.ms: \"often\"}"));
    let said = space.refused("mqttpt", "t", "KafkaRejected");
    assert!(said.contains("retention.ms"), "{said}");
}

#[test]
#[ignore = "make e2e"]
fn of_two_claims_the_oldest_has_the_topic() {
    let space = Space::new("claims");
    space.stopped("plant");
    space.apply(&parent("first", "topicName: same"));
    space.ready("mqttpt", "first");
    space.apply(&parent("second", "topicName: same"));
    let said = space.refused("mqttpt", "second", "TopicClaimed");
    assert!(said.contains("/first"), "{said}");
    let second = space.get("mqttpt", "second");
    assert_eq!(condition(&second, "Stalled", "status"), "True");
    // The younger one takes over when the older one is gone.
    space.kubectl(&["delete", "mqttpt", "first"]);
    space.ready("mqttpt", "second");
}

#[test]
#[ignore = "make e2e"]
fn dots_and_underscores_collide_and_the_way_out_is_said() {
    let space = Space::new("collide");
    space.stopped("plant");
    space.apply(&parent("a", "topicName: x.y"));
    space.ready("mqttpt", "a");
    space.apply(&parent("b", "topicName: x_y"));
    let said = space.refused("mqttpt", "b", "NameCollision");
    assert!(said.contains("spec.topicName"), "{said}");
}

#[test]
#[ignore = "make e2e"]
fn a_topic_deleted_behind_its_back_is_not_made_anew_in_silence() {
    let space = Space::new("vanished");
    let topic = space.topic("t");
    space.stopped("plant");
    space.apply(&parent("t", ""));
    space.ready("mqttpt", "t");
    delete_topic(&topic);
    let said = space.event("TopicReplaced");
    assert!(said.contains(&topic), "{said}");
    assert!(kafka().topics().contains(&topic));
}

#[test]
#[ignore = "make e2e"]
fn deleting_the_resource_keeps_the_topic_unless_asked_otherwise() {
    let space = Space::new("kept");
    space.stopped("plant");
    space.apply(&parent("kept", ""));
    space.apply(&parent("gone", "deletionPolicy: Delete"));
    space.ready("mqttpt", "kept");
    let gone = space.ready("mqttpt", "gone");
    assert!(gone["metadata"]["finalizers"].is_array());
    let kept = space.get("mqttpt", "kept");
    assert!(kept["metadata"]["finalizers"].is_null(), "{kept}");
    space.kubectl(&["delete", "mqttpt", "kept", "gone", "--timeout", "60s"]);
    let topics = kafka().topics();
    assert!(topics.contains(&space.topic("kept")), "{topics:?}");
    eventually("the topic is deleted", SOON, || {
        (!kafka().topics().contains(&space.topic("gone"))).then_some(())
    });
}

#[test]
#[ignore = "make e2e"]
fn a_changed_deletion_policy_takes_the_finalizer_along() {
    let space = Space::new("policy");
    space.stopped("plant");
    space.apply(&parent("t", "deletionPolicy: Delete"));
    space.ready("mqttpt", "t");
    space.apply(&parent("t", "deletionPolicy: Retain"));
    space.until("mqttpt", "t", "without a finalizer", |t| {
        t["metadata"]["finalizers"].is_null()
    });
    space.kubectl(&["delete", "mqttpt", "t", "--timeout", "30s"]);
    assert!(kafka().topics().contains(&space.topic("t")));
}

#[test]
#[ignore = "make e2e"]
fn without_its_instance_it_waits_and_goes_on_by_itself() {
    let space = Space::new("early");
    space.apply(&parent("t", ""));
    let said = space.refused("mqttpt", "t", "InstanceNotFound");
    assert!(said.contains("spec.instanceRef.name"), "{said}");
    space.stopped("plant");
    space.ready("mqttpt", "t");
}

#[test]
#[ignore = "make e2e"]
fn a_suspended_one_is_left_alone() {
    let space = Space::new("suspended");
    space.stopped("plant");
    space.apply(&parent("t", "suspend: true, partitions: 2"));
    space.refused("mqttpt", "t", "Suspended");
    assert!(!kafka().topics().contains(&space.topic("t")));
    space.apply(&parent("t", "suspend: false, partitions: 2"));
    space.ready("mqttpt", "t");
}

#[test]
#[ignore = "make e2e"]
fn an_ordered_topic_has_a_fixed_number_of_partitions() {
    let space = Space::new("ordered");
    space.stopped("plant");
    let ordered = |count: u32| {
        let name = "topicName: orderMsg2mq-o, type: PartitionOrdered";
        parent("o", &format!("{name}, partitions: {count}"))
    };
    space.apply(&ordered(2));
    space.ready("mqttpt", "o");
    let said = space.try_apply(&ordered(3)).unwrap_err();
    assert!(said.contains("PartitionOrdered"), "{said}");
}

#[test]
#[ignore = "make e2e"]
fn a_topic_name_too_long_with_the_prefix_is_said() {
    let space = Space::new("long");
    space.stopped("plant");
    let name = unique("x") + &"y".repeat(240);
    space.apply(&parent("t", &format!("topicName: {name}")));
    space.refused("mqttpt", "t", "InvalidName");
}

#[test]
#[ignore = "make e2e"]
fn deleting_with_the_instance_gone_does_not_hang() {
    let space = Space::new("orphan");
    space.stopped("plant");
    space.apply(&parent("t", "deletionPolicy: Delete"));
    space.ready("mqttpt", "t");
    space.kubectl(&["delete", "mqtti", "plant", "--timeout", "60s"]);
    space.kubectl(&["delete", "mqttpt", "t", "--timeout", "60s"]);
    assert!(space.event("TopicLeftBehind").contains(&space.topic("t")));
    assert!(kafka().topics().contains(&space.topic("t")));
}
