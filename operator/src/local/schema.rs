//! Checks a document against the schema of its kind, as an API server does, and names every
//! fault: unknown fields with the nearest known one, types, bounds, required fields.
//!
//! The schemas are those of the resource definitions, so there is one set of rules. Patterns are
//! left to `validate`, which says what would be right instead of quoting an expression.

use serde_json::{Map, Value, json};

use super::yaml::{Data, Node};
use crate::crds::{self, CrdError};
use crate::fault::{Fault, FieldPath, nearest};

/// The schema of a kind's documents: that of its definition, and what Kubernetes itself adds.
///
/// # Errors
/// [`CrdError`]
pub fn of_documents(kind: &str) -> Result<Option<Value>, CrdError> {
    let schema = if kind == "Secret" {
        Some(secret())
    } else {
        crds::schema(kind)?
    };
    Ok(schema.map(|mut schema| {
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.insert("apiVersion".to_owned(), json!({"type": "string"}));
            properties.insert("kind".to_owned(), json!({"type": "string"}));
            properties.insert("metadata".to_owned(), metadata());
            properties.insert("status".to_owned(), json!({}));
        }
        if let Value::Object(fields) = &mut schema
            && let Value::Array(required) = fields.entry("required").or_insert_with(|| json!([]))
        {
            required.push("metadata".into());
        }
        schema
    }))
}

/// What users write in `metadata`, and what `kubectl get -o yaml` adds.
fn metadata() -> Value {
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "namespace": {"type": "string"},
        "labels": texts, "annotations": texts,
        "creationTimestamp": {}, "finalizers": {}, "generation": {}, "managedFields": {},
        "ownerReferences": {}, "resourceVersion": {}, "selfLink": {}, "uid": {},
    }})
}

fn secret() -> Value {
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    json!({"type": "object", "properties": {
        "type": {"type": "string"}, "immutable": {"type": "boolean"},
        "data": texts, "stringData": texts,
    }})
}

/// All faults of a document.
#[must_use]
pub fn check(node: &Node, schema: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    value(node, schema, &FieldPath::default(), &mut faults);
    faults
}

fn value(node: &Node, schema: &Value, path: &FieldPath, faults: &mut Vec<Fault>) {
    let Value::Object(schema) = schema else {
        return;
    };
    if node.is_null() {
        return;
    }
    let any_of_two = schema.contains_key("x-kubernetes-int-or-string");
    let wanted = if any_of_two {
        "a number or a text"
    } else {
        shown_type(schema)
    };
    let found = match &node.data {
        Data::Object(_) => "object",
        Data::List(_) => "array",
        Data::Scalar(Value::Bool(_)) => "boolean",
        Data::Scalar(Value::Number(n)) if n.is_f64() => "number",
        Data::Scalar(Value::Number(_)) => "integer",
        Data::Scalar(_) => "string",
    };
    let fits = if any_of_two {
        matches!(found, "integer" | "string")
    } else {
        schema
            .get("type")
            .and_then(Value::as_str)
            .is_none_or(|t| t == found)
    };
    if !fits {
        let mut message = format!("expected {wanted}, found {}", describe(node));
        if wanted == "a text" && matches!(node.data, Data::Scalar(_)) {
            message.push_str(": put it in quotes");
        }
        faults.push(Fault::new(path.clone(), message));
        return;
    }
    match &node.data {
        Data::Object(fields) => object(fields, schema, path, faults),
        Data::List(items) => list(items, schema, path, faults),
        Data::Scalar(scalar) => bounds(scalar, schema, path, faults),
    }
}

fn shown_type(schema: &Map<String, Value>) -> &'static str {
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => "an object",
        Some("array") => "a list",
        Some("boolean") => "true or false",
        Some("integer") => "a whole number",
        Some("number") => "a number",
        _ => "a text",
    }
}

fn describe(node: &Node) -> String {
    match &node.data {
        Data::Object(_) => "an object".to_owned(),
        Data::List(_) => "a list".to_owned(),
        Data::Scalar(value) => value.to_string(),
    }
}

fn object(
    fields: &[(String, u64, Node)],
    schema: &Map<String, Value>,
    path: &FieldPath,
    faults: &mut Vec<Fault>,
) {
    if let Some(Value::Object(known)) = schema.get("properties") {
        for (key, _, node) in fields {
            match known.get(key) {
                Some(schema) => value(node, schema, &path.key(key), faults),
                None => faults.push(unknown(key, known, path)),
            }
        }
    } else if let Some(schema) = schema.get("additionalProperties") {
        for (key, _, node) in fields {
            value(node, schema, &path.key(key), faults);
        }
    }
    let most = schema
        .get("maxProperties")
        .and_then(Value::as_u64)
        .unwrap_or(u64::MAX);
    if fields.len() as u64 > most {
        let message = format!("has {} fields, at most {most} are allowed", fields.len());
        faults.push(Fault::new(path.clone(), message));
    }
    let required = schema.get("required").and_then(Value::as_array);
    for key in required.into_iter().flatten().filter_map(Value::as_str) {
        if !fields
            .iter()
            .any(|(k, _, node)| k == key && !node.is_null())
        {
            faults.push(Fault::new(path.key(key), "is required"));
        }
    }
}

fn unknown(key: &str, known: &Map<String, Value>, path: &FieldPath) -> Fault {
    let names = known.keys().map(String::as_str);
    let message = match nearest(key, names.clone()) {
        Some(name) => format!("unknown field, did you mean {name}?"),
        None => format!(
            "unknown field, known are: {}",
            names.collect::<Vec<_>>().join(", ")
        ),
    };
    Fault::new(path.key(key), message)
}

fn list(items: &[Node], schema: &Map<String, Value>, path: &FieldPath, faults: &mut Vec<Fault>) {
    let most = schema
        .get("maxItems")
        .and_then(Value::as_u64)
        .unwrap_or(u64::MAX);
    if items.len() as u64 > most {
        let message = format!("has {} elements, at most {most} are allowed", items.len());
        faults.push(Fault::new(path.clone(), message));
    }
    if let Some(schema) = schema.get("items") {
        for (at, item) in items.iter().enumerate() {
            value(item, schema, &path.index(at), faults);
        }
    }
}

fn bounds(scalar: &Value, schema: &Map<String, Value>, path: &FieldPath, faults: &mut Vec<Fault>) {
    if let Some(Value::Array(allowed)) = schema.get("enum")
        && !allowed.contains(scalar)
    {
        let allowed = allowed.iter().filter_map(Value::as_str);
        let meant = scalar
            .as_str()
            .and_then(|text| nearest(text, allowed.clone()));
        let meant = meant
            .map(|m| format!(", did you mean {m}?"))
            .unwrap_or_default();
        let list = allowed.collect::<Vec<_>>().join(", ");
        faults.push(Fault::new(
            path.clone(),
            format!("{scalar} is none of {list}{meant}"),
        ));
    }
    let limit = |name: &str| schema.get(name).and_then(Value::as_i64);
    match scalar {
        Value::Number(number) => {
            let (least, most) = (limit("minimum"), limit("maximum"));
            // Larger than any bound where it does not fit.
            let number_i64 = number.as_i64().unwrap_or(i64::MAX);
            if least.is_some_and(|l| number_i64 < l) || most.is_some_and(|m| number_i64 > m) {
                faults.push(Fault::new(
                    path.clone(),
                    out_of_range(scalar, least, most, path),
                ));
            }
        }
        Value::String(text) => {
            let length = text.chars().count();
            let length = i64::try_from(length).unwrap_or(i64::MAX);
            if limit("minLength").is_some_and(|least| length < least) {
                faults.push(Fault::new(path.clone(), "must not be empty"));
            }
            if let Some(most) = limit("maxLength").filter(|most| length > *most) {
                let message = format!("has {length} characters, at most {most} are allowed");
                faults.push(Fault::new(path.clone(), message));
            }
        }
        _ => {}
    }
}

fn out_of_range(scalar: &Value, least: Option<i64>, most: Option<i64>, path: &FieldPath) -> String {
    let port = path.to_string().ends_with(".port");
    match (least, most) {
        (Some(least), Some(most)) if port => format!("{scalar} is not a port ({least} to {most})"),
        (Some(least), Some(most)) => format!("{scalar} is out of range ({least} to {most})"),
        (Some(least), None) => format!("{scalar} is too small, at least {least}"),
        (None, Some(most)) => format!("{scalar} is too large, at most {most}"),
        (None, None) => format!("{scalar} is out of range"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::yaml::parse;

    fn faults(kind: &str, spec: &str) -> Vec<String> {
        let text = format!(
            "apiVersion: mqtt.isthmus.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: x}}\nspec:\n{spec}"
        );
        let schema = of_documents(kind).unwrap().unwrap();
        let document = parse(&text).unwrap().remove(0);
        check(&document, &schema)
            .iter()
            .map(|f| format!("{}: {f}", document.line_of(&f.path)))
            .collect()
    }

    #[test]
    fn every_fault_is_named_with_its_line() {
        let found = faults(
            "MqttInstance",
            "  replica: 1\n  slots: 0\n  listeners:\n    mqtt: {enabled: \"yes\", port: 70000}\n    mqtts: {}\n  kafka: {topicPrefix: 7}\n  deletionPolicy: delete\n  limits: {maxPacketSize: true}\n  authentication: {anonymousAcl: 3}\n",
        );
        assert_eq!(
            found,
            [
                "5: spec.replica: unknown field, did you mean replicas?",
                "6: spec.slots: 0 is out of range (1 to 1024)",
                "8: spec.listeners.mqtt.enabled: expected true or false, found \"yes\"",
                "8: spec.listeners.mqtt.port: 70000 is not a port (1 to 65535)",
                "9: spec.listeners.mqtts: unknown field, did you mean mqtt?",
                "10: spec.kafka.topicPrefix: expected a text, found 7: put it in quotes",
                "10: spec.kafka.bootstrapServers: is required",
                "11: spec.deletionPolicy: \"delete\" is none of Retain, Delete, did you mean Delete?",
                "12: spec.limits.maxPacketSize: expected a number or a text, found true",
                "13: spec.authentication.anonymousAcl: expected a list, found 3",
            ]
        );
    }

    #[test]
    fn null_is_absent() {
        assert_eq!(
            faults(
                "MqttInstance",
                "  kafka: {bootstrapServers: \"a:1\"}\n  slots:\n"
            ),
            [""; 0]
        );
        let found = faults("MqttInstance", "  kafka: {bootstrapServers: null}\n");
        assert_eq!(found, ["5: spec.kafka.bootstrapServers: is required"]);
    }

    #[test]
    fn maps_and_lists_are_walked() {
        let found = faults(
            "ParentTopic",
            "  instanceRef: {name: \"\"}\n  config: {retention.ms: 1000}\n  partitions: 99999\n",
        );
        assert_eq!(
            found,
            [
                "5: spec.instanceRef.name: must not be empty",
                "6: spec.config[\"retention.ms\"]: expected a text, found 1000: put it in quotes",
                "7: spec.partitions: 99999 is out of range (1 to 10000)",
            ]
        );
        let found = faults(
            "MqttUser",
            "  instanceRef: {name: a}\n  acl:\n    - {topic: a, action: all}\n    - {action: pub}\n",
        );
        assert_eq!(
            found,
            [
                "7: spec.acl[0].action: \"all\" is none of pubsub, pub, sub",
                "8: spec.acl[1].topic: is required",
            ]
        );
    }
}
