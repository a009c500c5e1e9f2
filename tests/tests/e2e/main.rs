//! The operator on a real cluster: the chart installed with Helm, pods that run, a Kafka that they
//! reach. `make e2e` runs them inside the cluster; elsewhere they are ignored.
//! `docs/operator-tests.md` is made from their names.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "tests"
)]

mod disturbed;
mod gitops;
mod instances;
mod many;
mod outages;
mod packaging;
mod page;
mod schema;
mod secured;
mod topics;
mod traffic;
mod users;

use isthmus_kafka::admin::{Admin, ConfigOp};
use isthmus_tests::cluster::kafka;

fn admin() -> Admin {
    Admin::new(kafka().bootstrap()).expect("admin client")
}

/// A config of a topic, as Kafka has it.
fn config_of(topic: &str, key: &str) -> String {
    let found = admin().describe(&[topic]).expect("Kafka answers");
    let state = found.into_values().next().expect("the topic");
    let state = state.expect("the topic is there");
    state.config.get(key).cloned().unwrap_or_default()
}

/// Changes a config of a topic behind the operator's back.
fn set_config(topic: &str, key: &str, value: &str) {
    let change = [ConfigOp::Set(key.to_owned(), value.to_owned())];
    let answers = admin().set_configs(&[(topic, &change)]);
    for answer in answers.expect("Kafka answers").into_values() {
        answer.expect("the config is taken");
    }
}

/// Deletes a topic behind the operator's back.
fn delete_topic(topic: &str) {
    let answers = admin().delete(&[topic]).expect("Kafka answers");
    for answer in answers.into_values() {
        answer.expect("the topic is deleted");
    }
}
