//! `CreateTopics`, `CreatePartitions` (both with Kafka's own words for a refusal) and
//! `DescribeTopics` (with topic ids).

use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaErrorCode;

use crate::call::{Event, Explanation, Fault, Owned, PerTopic, c_string, run, slice, text};

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// The topic's name.
    pub name: String,
    /// `None`: Kafka's default.
    pub partitions: Option<i32>,
    /// `None`: Kafka's default.
    pub replication_factor: Option<i32>,
    /// Configs that the topic itself carries.
    pub config: Vec<(String, String)>,
}

/// A topic as one broker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// The bytes of the topic's UUID, most significant first.
    pub topic_id: [u8; 16],
    /// Number of partitions.
    pub partitions: usize,
    /// The least number of replicas that a partition has.
    pub replication_factor: usize,
}

/// Makes topics. Each is made or refused on its own.
///
/// # Errors
/// No answer in time, or a refusal of the whole call.
pub fn create_topics<C: ClientContext>(
    client: &Client<C>,
    topics: &[NewTopic],
    timeout: Duration,
) -> Result<PerTopic<()>, Fault> {
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let natives = topics
        .iter()
        .map(new_topic)
        .collect::<Result<Vec<_>, Fault>>()?;
    let mut pointers: Vec<_> = natives.iter().map(Owned::as_ptr).collect();
    let event = run(
        client,
        sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS,
        true,
        timeout,
        // SAFETY: `run` passes valid pointers; the topics are valid during the call, which copies
        // them.
        Box::new(|native, options, queue| unsafe {
            sys::rd_kafka_CreateTopics(
                native,
                pointers.as_mut_ptr(),
                pointers.len(),
                options,
                queue,
            );
        }),
    )?;
    // SAFETY: the event is valid and answers this operation, or the result is null; the array
    // lives as long as the event.
    unsafe {
        let result = sys::rd_kafka_event_CreateTopics_result(event.as_ptr());
        if result.is_null() {
            return Err(Fault::argument("not an answer to CreateTopics"));
        }
        let mut count = 0;
        let answers = sys::rd_kafka_CreateTopics_result_topics(result, &raw mut count);
        Ok(topic_results(&event, answers, count))
    }
}

/// Raises the number of partitions of topics to the given totals.
///
/// # Errors
/// No answer in time, or a refusal of the whole call.
pub fn create_partitions<C: ClientContext>(
    client: &Client<C>,
    totals: &[(&str, i32)],
    timeout: Duration,
) -> Result<PerTopic<()>, Fault> {
    if totals.is_empty() {
        return Ok(Vec::new());
    }
    let natives = totals
        .iter()
        .map(|&(topic, total)| new_partitions(topic, total))
        .collect::<Result<Vec<_>, Fault>>()?;
    let mut pointers: Vec<_> = natives.iter().map(Owned::as_ptr).collect();
    let event = run(
        client,
        sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS,
        true,
        timeout,
        // SAFETY: `run` passes valid pointers; the elements are valid during the call, which
        // copies them.
        Box::new(|native, options, queue| unsafe {
            sys::rd_kafka_CreatePartitions(
                native,
                pointers.as_mut_ptr(),
                pointers.len(),
                options,
                queue,
            );
        }),
    )?;
    // SAFETY: as in `create_topics`.
    unsafe {
        let result = sys::rd_kafka_event_CreatePartitions_result(event.as_ptr());
        if result.is_null() {
            return Err(Fault::argument("not an answer to CreatePartitions"));
        }
        let mut count = 0;
        let answers = sys::rd_kafka_CreatePartitions_result_topics(result, &raw mut count);
        Ok(topic_results(&event, answers, count))
    }
}

/// Describes topics. An absent one has the fault `UnknownTopicOrPartition`.
///
/// # Errors
/// No answer in time, a name given twice, or a refusal of the whole call.
pub fn describe_topics<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    timeout: Duration,
) -> Result<PerTopic<TopicDescription>, Fault> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let strings = names
        .iter()
        .map(|name| c_string(name))
        .collect::<Result<Vec<_>, Fault>>()?;
    let mut pointers: Vec<_> = strings.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the strings are valid during the call, which copies them; the collection is owned
    // from here on.
    let topics = unsafe {
        Owned::new(
            sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()),
            sys::rd_kafka_TopicCollection_destroy,
        )
    }
    .ok_or_else(|| Fault::new(RDKafkaErrorCode::Fail, "librdkafka could not allocate"))?;
    let event = run(
        client,
        sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        false,
        timeout,
        // SAFETY: `run` passes valid pointers; the collection is valid during the call, which
        // copies it.
        Box::new(|native, options, queue| unsafe {
            sys::rd_kafka_DescribeTopics(native, topics.as_ptr(), options, queue);
        }),
    )?;
    // SAFETY: the event is valid and answers this operation, or the result is null; the array and
    // what it points to live as long as the event, and everything is copied.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event.as_ptr());
        if result.is_null() {
            return Err(Fault::argument("not an answer to DescribeTopics"));
        }
        let mut count = 0;
        let answers = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        Ok(slice(answers.cast_const(), count)
            .iter()
            .map(|&answer| description(answer))
            .collect())
    }
}

fn new_topic(topic: &NewTopic) -> Result<Owned<sys::rd_kafka_NewTopic_t>, Fault> {
    let name = c_string(&topic.name)?;
    let mut why = Explanation::new();
    // SAFETY: the name is a valid C string and is copied, `why` is writable for its length; the
    // topic is owned from here on.
    let native = unsafe {
        Owned::new(
            sys::rd_kafka_NewTopic_new(
                name.as_ptr(),
                topic.partitions.unwrap_or(-1),
                topic.replication_factor.unwrap_or(-1),
                why.as_mut_ptr(),
                Explanation::LEN,
            ),
            sys::rd_kafka_NewTopic_destroy,
        )
    }
    .ok_or_else(|| Fault::argument(why.text().unwrap_or_default()))?;
    for (key, value) in &topic.config {
        let (key, value) = (c_string(key)?, c_string(value)?);
        // SAFETY: the topic is valid; both strings are valid and are copied.
        let code = unsafe {
            sys::rd_kafka_NewTopic_set_config(native.as_ptr(), key.as_ptr(), value.as_ptr())
        };
        Fault::check(code, None)?;
    }
    Ok(native)
}

fn new_partitions(topic: &str, total: i32) -> Result<Owned<sys::rd_kafka_NewPartitions_t>, Fault> {
    let name = c_string(topic)?;
    let total = usize::try_from(total)
        .map_err(|_| Fault::argument(format!("{total} is not a number of partitions")))?;
    let mut why = Explanation::new();
    // SAFETY: the name is a valid C string and is copied, `why` is writable for its length; the
    // element is owned from here on.
    unsafe {
        Owned::new(
            sys::rd_kafka_NewPartitions_new(
                name.as_ptr(),
                total,
                why.as_mut_ptr(),
                Explanation::LEN,
            ),
            sys::rd_kafka_NewPartitions_destroy,
        )
    }
    .ok_or_else(|| Fault::argument(why.text().unwrap_or_default()))
}

/// # Safety
/// `answers` belongs to `event` and holds `count` topic results.
unsafe fn topic_results(
    _event: &Event,
    answers: *mut *const sys::rd_kafka_topic_result_t,
    count: usize,
) -> PerTopic<()> {
    // SAFETY: the caller's promise; `_event` outlives the use, and everything is copied.
    unsafe {
        slice(answers.cast_const(), count)
            .iter()
            .map(|&answer| {
                let topic = text(sys::rd_kafka_topic_result_name(answer)).unwrap_or_default();
                let fault = Fault::check(
                    sys::rd_kafka_topic_result_error(answer),
                    text(sys::rd_kafka_topic_result_error_string(answer)),
                );
                (topic, fault)
            })
            .collect()
    }
}

/// # Safety
/// `topic` is valid.
unsafe fn description(
    topic: *const sys::rd_kafka_TopicDescription_t,
) -> (String, Result<TopicDescription, Fault>) {
    // SAFETY: `topic` is valid by the contract; what is read from it lives as long as it does and
    // is copied. Its error, when there is one, belongs to it.
    unsafe {
        let name = text(sys::rd_kafka_TopicDescription_name(topic)).unwrap_or_default();
        let fault = sys::rd_kafka_TopicDescription_error(topic);
        if !fault.is_null() {
            let fault = Fault::check(
                sys::rd_kafka_error_code(fault),
                text(sys::rd_kafka_error_string(fault)),
            );
            if let Err(fault) = fault {
                return (name, Err(fault));
            }
        }
        let mut topic_id = [0; 16];
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        if !id.is_null() {
            let (most, least) = topic_id.split_at_mut(8);
            most.copy_from_slice(&sys::rd_kafka_Uuid_most_significant_bits(id).to_be_bytes());
            least.copy_from_slice(&sys::rd_kafka_Uuid_least_significant_bits(id).to_be_bytes());
        }
        let mut partitions = 0;
        let infos = sys::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
        let replication_factor = slice(infos.cast_const(), partitions)
            .iter()
            .map(|&info| {
                let mut replicas = 0;
                sys::rd_kafka_TopicPartitionInfo_replicas(info, &raw mut replicas);
                replicas
            })
            .min()
            .unwrap_or(0);
        (
            name,
            Ok(TopicDescription {
                topic_id,
                partitions,
                replication_factor,
            }),
        )
    }
}
