//! `IncrementalAlterConfigs`: changes the named configs and leaves every other one alone.

use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaErrorCode;

use crate::call::{Fault, Owned, PerTopic, c_string, run, slice, text};

/// One change of one config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOp {
    /// Name and new value.
    Set(String, String),
    /// Back to the cluster's default.
    Delete(String),
}

/// Changes configs of topics. One answer for each topic, in the order of Kafka's answer; the
/// changes of one topic are made all or none.
///
/// # Errors
/// No answer in time, or a refusal of the whole call.
pub fn incremental_alter_configs<C: ClientContext>(
    client: &Client<C>,
    changes: &[(&str, &[ConfigOp])],
    timeout: Duration,
) -> Result<PerTopic<()>, Fault> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let resources = changes
        .iter()
        .map(|(topic, ops)| resource(topic, ops))
        .collect::<Result<Vec<_>, Fault>>()?;
    let mut pointers: Vec<_> = resources.iter().map(Owned::as_ptr).collect();
    let event = run(
        client,
        sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS,
        false,
        timeout,
        // SAFETY: `run` passes valid pointers; the resources are valid during the call, which
        // copies them.
        Box::new(|native, options, queue| unsafe {
            sys::rd_kafka_IncrementalAlterConfigs(
                native,
                pointers.as_mut_ptr(),
                pointers.len(),
                options,
                queue,
            );
        }),
    )?;
    // SAFETY: the event is valid and answers this operation, or the result is null; the array and
    // what it points to live as long as the event, and the strings are copied.
    unsafe {
        let result = sys::rd_kafka_event_IncrementalAlterConfigs_result(event.as_ptr());
        if result.is_null() {
            return Err(Fault::argument("not an answer to IncrementalAlterConfigs"));
        }
        let mut count = 0;
        let answers =
            sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &raw mut count);
        Ok(slice(answers.cast_const(), count)
            .iter()
            .map(|&answer| {
                let topic = text(sys::rd_kafka_ConfigResource_name(answer)).unwrap_or_default();
                let fault = Fault::check(
                    sys::rd_kafka_ConfigResource_error(answer),
                    text(sys::rd_kafka_ConfigResource_error_string(answer)),
                );
                (topic, fault)
            })
            .collect())
    }
}

fn resource(topic: &str, ops: &[ConfigOp]) -> Result<Owned<sys::rd_kafka_ConfigResource_t>, Fault> {
    let name = c_string(topic)?;
    // SAFETY: the name is a valid C string and is copied; the resource is owned from here on.
    let resource = unsafe {
        Owned::new(
            sys::rd_kafka_ConfigResource_new(
                sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
                name.as_ptr(),
            ),
            sys::rd_kafka_ConfigResource_destroy,
        )
    }
    .ok_or_else(|| Fault::argument(format!("{topic:?} is not a topic's name")))?;
    for op in ops {
        let (key, kind, value) = match op {
            ConfigOp::Set(key, value) => (
                key,
                sys::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET,
                Some(c_string(value)?),
            ),
            ConfigOp::Delete(key) => (
                key,
                sys::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_DELETE,
                None,
            ),
        };
        let key = c_string(key)?;
        let value = value
            .as_ref()
            .map_or(std::ptr::null(), |value| value.as_ptr());
        // SAFETY: the resource is valid; key and value are valid C strings (the value of a
        // deletion is null, as librdkafka asks) and are copied; the error is owned from here on.
        let fault = unsafe {
            Owned::new(
                sys::rd_kafka_ConfigResource_add_incremental_config(
                    resource.as_ptr(),
                    key.as_ptr(),
                    kind,
                    value,
                ),
                sys::rd_kafka_error_destroy,
            )
        };
        if let Some(fault) = fault {
            // SAFETY: the error is valid; its string is copied.
            let message = unsafe { text(sys::rd_kafka_error_string(fault.as_ptr())) };
            return Err(Fault::new(
                RDKafkaErrorCode::InvalidArgument,
                message.unwrap_or_else(|| format!("config {key:?} was refused")),
            ));
        }
    }
    Ok(resource)
}
