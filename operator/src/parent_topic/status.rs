//! What a parent topic's status and events say.

use isthmus_kafka::provision::{Ensured, Outcome};
use kube::ResourceExt as _;

use super::resource::{ParentTopic, ParentTopicStatus};
use crate::control::events::reference_of;
use crate::control::verdict::Verdict;
use crate::control::{Context, Error, status};

/// A Kafka topic that is what was asked.
#[derive(Debug)]
pub struct Done {
    /// Its name, prefix included.
    pub topic: String,
    /// How it came to be so.
    pub ensured: Ensured,
}

/// `Created` or `Adopted`; `adopted` is the id of the topic that was adopted before.
#[must_use]
pub fn reason(done: &Ensured, adopted: Option<&str>) -> &'static str {
    match done.outcome {
        Outcome::Adopted => "Adopted",
        Outcome::Created | Outcome::Unchanged | Outcome::Changed => {
            match adopted == Some(&*done.state.topic_id) {
                true => "Adopted",
                false => "Created",
            }
        }
    }
}

/// The status after a look.
#[must_use]
pub fn after(parent: &ParentTopic, verdict: &Verdict, done: Option<&Done>) -> ParentTopicStatus {
    let before = parent.status.clone().unwrap_or_default();
    let generation = parent.metadata.generation;
    let mut after = ParentTopicStatus {
        observed_generation: generation,
        conditions: verdict.conditions(&before.conditions, generation),
        ..before
    };
    if let Some(Done { topic, ensured }) = done {
        let state = &ensured.state;
        let own = |name: &String| Some((name.clone(), state.config.get(name)?.clone()));
        after.kafka_topic = Some(topic.clone());
        after.topic_id = Some(state.topic_id.clone());
        after.partitions = Some(state.partitions);
        after.replication_factor = Some(state.replication_factor);
        after.config = state.overridden.iter().filter_map(own).collect();
    }
    after
}

/// Says in the status and by events what was found and done.
///
/// # Errors
/// The API server does not take it.
pub async fn report(
    ctx: &Context,
    parent: &ParentTopic,
    verdict: &Verdict,
    done: Option<&Done>,
) -> Result<(), Error> {
    let after = after(parent, verdict, done);
    status::write(ctx, parent, parent.status.as_ref(), &after).await?;
    let about = reference_of(parent);
    match verdict.is_quiet() {
        true => ctx.events.forget(&parent.uid().unwrap_or_default()),
        false => {
            let message = &verdict.message;
            ctx.events.warn(&about, verdict.reason, message).await;
        }
    }
    let Some(done) = done else { return Ok(()) };
    if let Some(lost) = replaced(parent, done) {
        ctx.events.warn(&about, "TopicReplaced", &lost).await;
    }
    for (reason, note) in notes(done) {
        ctx.events.done(&about, reason, &note).await;
    }
    Ok(())
}

/// The topic is another one than before, and what was in it is gone.
fn replaced(parent: &ParentTopic, done: &Done) -> Option<String> {
    let before = parent.status.as_ref()?.topic_id.as_ref()?;
    let topic = &done.topic;
    if *before == done.ensured.state.topic_id {
        return None;
    }
    Some(match done.ensured.outcome {
        Outcome::Created => format!(
            "Kafka topic {topic} had vanished from Kafka and was made again: the records in it are gone, look for who deleted it"
        ),
        Outcome::Adopted | Outcome::Changed | Outcome::Unchanged => format!(
            "Kafka topic {topic} was deleted and made again by somebody else: the records that were in it are gone"
        ),
    })
}

/// What was done.
fn notes(done: &Done) -> Vec<(&'static str, String)> {
    let Done { topic, ensured } = done;
    let mut notes = Vec::new();
    match ensured.outcome {
        Outcome::Created => {
            let count = ensured.state.partitions;
            let note = format!("made Kafka topic {topic} ({count} partitions)");
            notes.push(("TopicCreated", note));
        }
        Outcome::Adopted => {
            let note = format!("Kafka topic {topic} was there: it is used from now on");
            notes.push(("TopicAdopted", note));
        }
        Outcome::Changed | Outcome::Unchanged => {}
    }
    if !ensured.changes.is_empty() {
        let note = format!("Kafka topic {topic}: {}", ensured.changes.join(", "));
        notes.push(("TopicChanged", note));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_kafka::admin::TopicState;
    use serde_json::{Value, json};

    #[allow(clippy::needless_pass_by_value, reason = "called with json!")]
    fn parent(status: Value) -> ParentTopic {
        serde_json::from_value(json!({
            "apiVersion": "mqtt.isthmus.dev/v1alpha1", "kind": "ParentTopic",
            "metadata": {"name": "t", "namespace": "iot", "generation": 4},
            "spec": {"instanceRef": {"name": "plant"}}, "status": status,
        }))
        .unwrap()
    }

    fn done(outcome: Outcome, id: &str) -> Done {
        let state = TopicState {
            topic_id: id.to_owned(),
            partitions: 3,
            replication_factor: 1,
            config: [("retention.ms", "5"), ("segment.ms", "7")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            overridden: ["retention.ms".to_owned()].into(),
        };
        Done {
            topic: "eu.t".to_owned(),
            ensured: Ensured {
                outcome,
                changes: Vec::new(),
                state,
                warnings: Vec::new(),
            },
        }
    }

    #[test]
    fn the_status_says_what_kafka_has_and_keeps_it_while_kafka_is_away() {
        let first = done(Outcome::Created, "1");
        let made = after(
            &parent(json!({})),
            &Verdict::yes("Created", ""),
            Some(&first),
        );
        assert_eq!(made.observed_generation, Some(4));
        assert_eq!(made.kafka_topic.as_deref(), Some("eu.t"));
        assert_eq!(
            (made.partitions, made.replication_factor),
            (Some(3), Some(1))
        );
        assert_eq!(
            made.config,
            [("retention.ms".to_owned(), "5".to_owned())].into()
        );
        let then = parent(serde_json::to_value(&made).unwrap());
        let away = after(&then, &Verdict::no("KafkaUnavailable", ""), None);
        assert_eq!(
            (away.topic_id, away.partitions),
            (made.topic_id, made.partitions)
        );
        assert_eq!(away.conditions[0].reason, "KafkaUnavailable");
    }

    #[test]
    fn an_adopted_topic_stays_adopted_and_one_made_again_does_not() {
        let reason = |outcome, adopted| reason(&done(outcome, "1").ensured, adopted);
        assert_eq!(reason(Outcome::Adopted, None), "Adopted");
        assert_eq!(reason(Outcome::Unchanged, Some("1")), "Adopted");
        assert_eq!(reason(Outcome::Changed, Some("1")), "Adopted");
        assert_eq!(reason(Outcome::Created, Some("0")), "Created");
        assert_eq!(reason(Outcome::Unchanged, None), "Created");
    }

    #[test]
    fn a_topic_that_is_another_one_is_warned_of() {
        let before = parent(json!({"topicId": "1"}));
        assert_eq!(replaced(&before, &done(Outcome::Unchanged, "1")), None);
        let said = replaced(&before, &done(Outcome::Created, "2")).unwrap();
        assert!(said.contains("vanished"), "{said}");
        let said = replaced(&before, &done(Outcome::Adopted, "2")).unwrap();
        assert!(said.contains("somebody else"), "{said}");
        assert_eq!(
            replaced(&parent(json!({})), &done(Outcome::Created, "2")),
            None
        );
    }
}
