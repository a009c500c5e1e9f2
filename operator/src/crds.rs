//! The resource definitions as they are applied to a cluster: the derived schemas, and on top of
//! them the rules between fields and the status default.
//!
//! Invariant: local mode checks files against these very schemas.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::{Map, Value, json};

use crate::instance::{self, MqttInstance};
use crate::parent_topic::{self, ParentTopic};
use crate::rules::{KindRules, Rule};
use crate::user::{self, MqttUser};

/// The group and version of all kinds.
pub const API_VERSION: &str = "mqtt.isthmus.dev/v1alpha1";

/// The kinds.
pub const KINDS: [&str; 3] = ["MqttInstance", "ParentTopic", "MqttUser"];

/// Why the definitions could not be written.
#[derive(Debug, thiserror::Error)]
pub enum CrdError {
    /// As JSON.
    #[error("cannot write the resource definitions: {0}")]
    Json(#[from] serde_json::Error),
    /// As YAML.
    #[error("cannot write the resource definitions: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
}

/// The definition of each kind, in the order of [`KINDS`].
///
/// # Errors
/// [`CrdError::Json`]; a test shows that it does not happen.
pub fn all() -> Result<Vec<Value>, CrdError> {
    Ok(vec![
        definition(&MqttInstance::crd(), &instance::rules::RULES)?,
        definition(&ParentTopic::crd(), &parent_topic::rules::RULES)?,
        definition(&MqttUser::crd(), &user::rules::RULES)?,
    ])
}

/// All definitions as one stream of YAML documents.
///
/// # Errors
/// [`CrdError`]; a test shows that it does not happen.
pub fn yaml() -> Result<String, CrdError> {
    let mut text = String::from("# Written by: isthmus-operator crds > crds/isthmus.yaml\n");
    for definition in all()? {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&definition)?);
    }
    Ok(text)
}

/// The schema of one kind's documents.
///
/// # Errors
/// [`CrdError::Json`]; a test shows that it does not happen.
pub fn schema(kind: &str) -> Result<Option<Value>, CrdError> {
    let at = KINDS.iter().position(|k| *k == kind);
    let definition = at.and_then(|at| all().map(|all| all.into_iter().nth(at)).transpose());
    Ok(definition
        .transpose()?
        .and_then(|d| d.pointer(SCHEMA).cloned()))
}

const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema";

fn definition(crd: &CustomResourceDefinition, rules: &KindRules) -> Result<Value, CrdError> {
    let mut definition = serde_json::to_value(crd)?;
    if let Some(schema) = definition.pointer_mut(SCHEMA) {
        tidy(schema);
        add(schema, "x-kubernetes-validations", cel(rules.root, ""));
        if let Some(spec) = schema.pointer_mut("/properties/spec") {
            add(spec, "x-kubernetes-validations", cel(rules.spec, "spec"));
        }
        if let Some(status) = schema.pointer_mut("/properties/status") {
            add(status, "default", json!({"observedGeneration": -1}));
        }
    }
    Ok(definition)
}

/// The rules of the schema at the field `at`, each with the field that it says is wrong, where the
/// schema has it: of `metadata` it says nothing.
fn cel(rules: &[&Rule], at: &str) -> Value {
    rules
        .iter()
        .map(|rule| {
            let mut entry = json!({"rule": rule.cel, "message": rule.message});
            let below = rule.field.strip_prefix(at).unwrap_or_default();
            let below = below.trim_start_matches('.');
            if !below.is_empty() && !rule.field.starts_with("metadata") {
                add(&mut entry, "fieldPath", format!(".{below}").into());
            }
            entry
        })
        .collect()
}

fn add(schema: &mut Value, key: &str, value: Value) {
    if let Value::Object(schema) = schema {
        schema.insert(key.to_owned(), value);
    }
}

/// Formats that Kubernetes does not know go (it warns about each), whole numbers lose their `.0`.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields
                .get("format")
                .and_then(Value::as_str)
                .is_some_and(|f| f.starts_with("uint"))
            {
                fields.shift_remove("format");
            }
            whole(fields, "minimum");
            whole(fields, "maximum");
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn whole(fields: &mut Map<String, Value>, key: &str) {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "kept only when nothing was cut off"
    )]
    if let Some(Value::Number(number)) = fields.get_mut(key)
        && let Some(float) = number.as_f64()
        && (float as i64) as f64 == float
    {
        *number = (float as i64).into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checked_in_definitions_are_up_to_date() {
        // Cargo runs a test in its package's folder.
        let path = "../crds/isthmus.yaml";
        let checked_in = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            checked_in == yaml().unwrap(),
            "crds/isthmus.yaml is stale, run: cargo run -p isthmus-operator -- crds > crds/isthmus.yaml"
        );
    }

    /// What an API server refuses in a structural schema.
    #[test]
    fn schemas_are_structural() {
        fn walk(path: &str, schema: &Value) {
            let fields = schema
                .as_object()
                .unwrap_or_else(|| panic!("{path}: {schema}"));
            let int_or_string = fields.get("x-kubernetes-int-or-string").is_some();
            assert!(
                fields.contains_key("type") != int_or_string,
                "{path}: one of type, int-or-string"
            );
            for key in [
                "$ref",
                "definitions",
                "$defs",
                "const",
                "anyOf",
                "oneOf",
                "uniqueItems",
            ] {
                assert!(!fields.contains_key(key), "{path}: {key}");
            }
            let format = fields.get("format").and_then(Value::as_str);
            assert!(
                [None, Some("int32"), Some("int64"), Some("date-time")].contains(&format),
                "{path}"
            );
            let both =
                fields.contains_key("properties") && fields.contains_key("additionalProperties");
            assert!(!both, "{path}: properties and additionalProperties");
            for (key, value) in fields
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
            {
                walk(&format!("{path}.{key}"), value);
            }
            for key in ["items", "additionalProperties"] {
                if let Some(value) = fields.get(key) {
                    walk(&format!("{path}.{key}"), value);
                }
            }
        }
        for kind in KINDS {
            walk(kind, &schema(kind).unwrap().unwrap());
        }
    }

    #[test]
    fn every_rule_compiles() {
        for kind in KINDS {
            let schema = schema(kind).unwrap().unwrap();
            let compiled = kube::core::cel::compile_schema(&schema);
            let errors = compiled.compilation_errors();
            assert!(errors.is_empty(), "{kind}: {errors:?}");
        }
    }

    #[test]
    fn a_new_object_is_not_taken_for_a_ready_one() {
        for kind in KINDS {
            let schema = schema(kind).unwrap().unwrap();
            let default = schema.pointer("/properties/status/default");
            assert_eq!(default, Some(&json!({"observedGeneration": -1})), "{kind}");
        }
    }
}
