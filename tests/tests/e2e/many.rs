//! Many resources: quickly ready, and then nothing at all.

use std::time::{Duration, Instant};

use isthmus_tests::cluster::{SOON, Space, figure};
use isthmus_tests::eventually;

fn ready(space: &Space, kind: &str) -> usize {
    let path =
        "jsonpath={range .items[*]}{.status.conditions[?(@.type==\"Ready\")].status}{\"\\n\"}{end}";
    let said = space.kubectl(&["get", kind, "--output", path]);
    said.lines().filter(|line| *line == "True").count()
}

fn all(kind: &str, count: usize) -> String {
    (0..count)
        .map(|n| Space::of_plant(kind, &format!("n{n}"), "") + "---\n")
        .collect()
}

#[test]
#[ignore = "make e2e"]
fn two_hundred_topics_and_users_at_rest_cause_no_write() {
    let space = Space::alone("rest");
    space.stopped("plant");
    space.apply(&all("ParentTopic", 200));
    space.apply(&all("MqttUser", 200));
    eventually("all are ready", SOON, || {
        (ready(&space, "mqttpt") == 200 && ready(&space, "mqttu") == 200).then_some(())
    });
    let names = [
        "isthmus_operator_kubernetes_writes_total",
        "isthmus_operator_kafka_changes_total",
    ];
    let sums = || names.map(figure);
    // What was begun ends: two looks at the same figures.
    let mut before = sums();
    eventually("the figures stand", SOON, || {
        std::thread::sleep(Duration::from_secs(5));
        let now = sums();
        std::mem::replace(&mut before, now).eq(&now).then_some(())
    });
    let requests = figure("isthmus_operator_kubernetes_requests_total");
    std::thread::sleep(Duration::from_secs(120));
    assert_eq!(sums(), before, "writes");
    let asked = figure("isthmus_operator_kubernetes_requests_total") - requests;
    // The Lease is read and renewed every two seconds; watches end now and then.
    assert!(asked < 200, "{asked} requests in two minutes");
}

#[test]
#[ignore = "make e2e"]
fn a_thousand_topics_at_once_are_ready_within_two_minutes() {
    let space = Space::alone("thousand");
    space.stopped("plant");
    space.apply(&all("ParentTopic", 1000));
    let begun = Instant::now();
    eventually("all are ready", SOON, || {
        (ready(&space, "mqttpt") == 1000).then_some(())
    });
    eprintln!(
        "1,000 parent topics were ready after {:.1?}",
        begun.elapsed()
    );
}
