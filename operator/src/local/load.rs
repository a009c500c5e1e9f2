//! From files to resources: reads YAML, sorts documents by kind, checks each against its schema.
//!
//! Invariant: every fault of every file is collected with file and line; nothing is skipped.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::schema;
use super::yaml::{self, Node};
use crate::crds::{self, API_VERSION};
use crate::fault::{Fault, FieldPath, nearest};
use crate::instance::MqttInstance;
use crate::parent_topic::ParentTopic;
use crate::references::legal_name;
use crate::user::MqttUser;

/// A fault and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: u64,
    /// Field and message.
    pub fault: Fault,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.fault)
    }
}

/// Where a resource was read from.
#[derive(Clone, Debug)]
pub struct Origin {
    file: Rc<Path>,
    node: Rc<Node>,
}

impl Origin {
    /// A fault of this resource.
    #[must_use]
    pub fn problem(&self, fault: Fault) -> Problem {
        Problem {
            file: self.file.to_path_buf(),
            line: self.node.line_of(&fault.path),
            fault,
        }
    }

    /// `file:line` of its name, for pointing at it from another resource's fault.
    #[must_use]
    pub fn place(&self) -> String {
        let line = self.node.line_of(&FieldPath::of("metadata.name"));
        format!("{}:{line}", self.file.display())
    }
}

/// A resource and where it was read from.
#[derive(Clone, Debug)]
pub struct Located<T> {
    /// The resource.
    pub resource: T,
    /// Its place.
    pub origin: Origin,
}

/// A Secret: the values by key, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its values.
    pub data: BTreeMap<String, Vec<u8>>,
}

/// All resources of the files.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// `MqttInstance` documents.
    pub instances: Vec<Located<MqttInstance>>,
    /// `ParentTopic` documents.
    pub parents: Vec<Located<ParentTopic>>,
    /// `MqttUser` documents.
    pub users: Vec<Located<MqttUser>>,
    /// `v1/Secret` documents.
    pub secrets: Vec<Located<Secret>>,
}

/// The files that a `-f` argument stands for: itself, or the YAML files of a folder by name.
///
/// # Errors
/// The folder cannot be read, or the file is not there.
pub fn files(argument: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !std::fs::metadata(argument)?.is_dir() {
        return Ok(vec![argument.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(argument)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with('.'));
        let yaml = path
            .extension()
            .is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
        if yaml && !hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads all resources of all arguments, and all faults.
#[must_use]
pub fn load(arguments: &[PathBuf]) -> (Manifests, Vec<Problem>) {
    let mut loader = Loader::default();
    for argument in arguments {
        match files(argument) {
            Ok(files) if files.is_empty() => {
                loader.note(argument, 1, Fault::at("", "no YAML file in this folder"));
            }
            Ok(files) => files.iter().for_each(|file| loader.file(file)),
            Err(error) => loader.note(argument, 1, Fault::at("", format!("cannot read: {error}"))),
        }
    }
    (loader.manifests, loader.problems)
}

#[derive(Default)]
struct Loader {
    manifests: Manifests,
    problems: Vec<Problem>,
    /// The place of each document seen, by kind, namespace and name.
    seen: BTreeMap<(String, String, String), String>,
}

impl Loader {
    fn note(&mut self, file: &Path, line: u64, fault: Fault) {
        self.problems.push(Problem {
            file: file.to_path_buf(),
            line,
            fault,
        });
    }

    fn file(&mut self, file: &Path) {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                return self.note(file, 1, Fault::at("", format!("cannot read: {error}")));
            }
        };
        match yaml::parse(&text) {
            Ok(nodes) => nodes.into_iter().for_each(|node| self.document(file, node)),
            Err(error) => self.note(file, error.line, Fault::at("", error.message)),
        }
    }

    fn document(&mut self, file: &Path, node: Node) {
        let origin = Origin {
            file: file.into(),
            node: Rc::new(node),
        };
        let (version, kind) = (origin.node.text("apiVersion"), origin.node.text("kind"));
        let (version, kind) = match (version, kind) {
            (Some(version), Some(kind)) => (version.to_owned(), kind.to_owned()),
            _ => {
                let fault = Fault::at("", "a document needs apiVersion and kind");
                return self.problems.push(origin.problem(fault));
            }
        };
        let expected = if kind == "Secret" { "v1" } else { API_VERSION };
        let schema = match schema::of_documents(&kind) {
            Ok(Some(schema)) => schema,
            Ok(None) => return self.problems.push(origin.problem(unknown_kind(&kind))),
            Err(error) => {
                return self
                    .problems
                    .push(origin.problem(Fault::at("kind", error.to_string())));
            }
        };
        if version != expected {
            let message = format!("{version:?} is not the version of {kind}: write {expected}");
            return self
                .problems
                .push(origin.problem(Fault::at("apiVersion", message)));
        }
        let faults = schema::check(&origin.node, &schema);
        if !faults.is_empty() {
            self.problems
                .extend(faults.into_iter().map(|fault| origin.problem(fault)));
            return;
        }
        if let Some(key) = self.identity(&kind, &origin) {
            self.sort(&kind, key, &origin);
        }
    }

    /// Checks the name and that no other document has it; namespace and name.
    fn identity(&mut self, kind: &str, origin: &Origin) -> Option<(String, String)> {
        let metadata = origin.node.get("metadata");
        let text = |key: &str| metadata.and_then(|m| m.text(key)).map(str::to_owned);
        let name = text("name").unwrap_or_default();
        let namespace = text("namespace").unwrap_or_else(|| "default".to_owned());
        for (field, value, most) in [("name", &name, 253), ("namespace", &namespace, 63)] {
            if !legal_name(value) || value.len() > most || (most == 63 && value.contains('.')) {
                let message =
                    format!("{value:?} is no {field}: use lower-case letters, digits and -");
                self.problems.push(
                    origin.problem(Fault::new(FieldPath::of("metadata").key(field), message)),
                );
                return None;
            }
        }
        let key = (kind.to_owned(), namespace.clone(), name.clone());
        if let Some(first) = self.seen.get(&key) {
            let message = format!("{kind} {namespace}/{name} stands already at {first}");
            self.problems
                .push(origin.problem(Fault::at("metadata.name", message)));
            return None;
        }
        self.seen.insert(key, origin.place());
        Some((namespace, name))
    }

    fn sort(&mut self, kind: &str, (namespace, name): (String, String), origin: &Origin) {
        let mut value = origin.node.to_json();
        if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
            metadata.retain(|key, _| ["name", "labels", "annotations"].contains(&key.as_str()));
            metadata.insert("namespace".to_owned(), namespace.clone().into());
        }
        if let Value::Object(fields) = &mut value {
            fields.shift_remove("status");
        }
        match kind {
            "MqttInstance" => read(
                value,
                origin,
                &mut self.manifests.instances,
                &mut self.problems,
            ),
            "ParentTopic" => read(
                value,
                origin,
                &mut self.manifests.parents,
                &mut self.problems,
            ),
            "MqttUser" => read(value, origin, &mut self.manifests.users, &mut self.problems),
            _ => match secret_data(&value) {
                Ok(data) => {
                    let resource = Secret {
                        namespace,
                        name,
                        data,
                    };
                    self.manifests.secrets.push(Located {
                        resource,
                        origin: origin.clone(),
                    });
                }
                Err(faults) => {
                    self.problems
                        .extend(faults.into_iter().map(|fault| origin.problem(fault)));
                }
            },
        }
    }
}

fn read<T: DeserializeOwned>(
    value: Value,
    origin: &Origin,
    into: &mut Vec<Located<T>>,
    problems: &mut Vec<Problem>,
) {
    match serde_json::from_value(value) {
        Ok(resource) => into.push(Located {
            resource,
            origin: origin.clone(),
        }),
        Err(error) => problems.push(origin.problem(Fault::at("spec", error.to_string()))),
    }
}

fn unknown_kind(kind: &str) -> Fault {
    let known = crds::KINDS.into_iter().chain(["Secret"]);
    let meant = nearest(kind, known.clone()).map(|k| format!(", did you mean {k}?"));
    let known = known.collect::<Vec<_>>().join(", ");
    let meant = meant.unwrap_or_default();
    Fault::at(
        "kind",
        format!("{kind:?} is none of {known}, which is all that local mode applies{meant}"),
    )
}

/// The values by key; stringData wins, as in a cluster.
fn secret_data(secret: &Value) -> Result<BTreeMap<String, Vec<u8>>, Vec<Fault>> {
    let texts = |field: &str| {
        let object = secret
            .get(field)
            .and_then(Value::as_object)
            .into_iter()
            .flatten();
        object.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
    };
    let mut faults = Vec::new();
    let mut data = BTreeMap::new();
    for (key, text) in texts("data") {
        let compact: String = text.split_ascii_whitespace().collect();
        match STANDARD.decode(compact) {
            Ok(bytes) => {
                data.insert(key, bytes);
            }
            Err(_) => {
                let message = "is not base64: encode it, or write it as it is under stringData";
                faults.push(Fault::new(FieldPath::of("data").key(key), message));
            }
        }
    }
    data.extend(texts("stringData").map(|(key, text)| (key, text.into_bytes())));
    if faults.is_empty() {
        Ok(data)
    } else {
        Err(faults)
    }
}

#[cfg(test)]
mod tests;
