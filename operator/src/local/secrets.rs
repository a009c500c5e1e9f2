//! Generated Secrets: `DIR/secrets/<name>.yaml`, mode 0600, in the form that `kubectl apply` takes.
//!
//! A password once generated is kept; one that a user edits there counts.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::files;
use super::load;
use crate::user::ValidUser;
use crate::user::build::secret_data;
use crate::user::password::{PasswordError, generate};

/// A generated Secret, as it is on disk now.
#[derive(Debug)]
pub struct Generated {
    /// The password in it.
    pub password: Vec<u8>,
    /// Its file.
    pub path: PathBuf,
    /// Whether it was made by this call.
    pub created: bool,
}

/// Why a Secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, #[source] std::io::Error),
    /// The file is no Secret any more.
    #[error("{0} (delete the file to have a new password generated)")]
    Damaged(String),
    /// No password.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// It cannot be written as YAML.
    #[error("{0}: {1}")]
    Yaml(PathBuf, #[source] serde_saphyr::ser::Error),
}

/// Reads the Secret, makes it where it is absent, and keeps its `uri` right. `address` is
/// `host:port` of the listener.
///
/// # Errors
/// [`SecretError`]
pub fn ensure(
    folder: &Path,
    name: &str,
    user: &ValidUser,
    address: &str,
) -> Result<Generated, SecretError> {
    let path = folder.join(format!("{name}.yaml"));
    if !path.exists() {
        let password = generate()?;
        write(&path, name, user, &password, address)?;
        return Ok(Generated {
            password: password.into_bytes(),
            path,
            created: true,
        });
    }
    let (mut manifests, problems) = load::load(std::slice::from_ref(&path));
    let found = manifests.secrets.pop().map(|secret| secret.resource.data);
    let Some(mut data) = found.filter(|_| problems.is_empty()) else {
        let why = problems.first().map_or_else(
            || format!("{}: no Secret", path.display()),
            ToString::to_string,
        );
        return Err(SecretError::Damaged(why));
    };
    let password = data
        .remove("password")
        .filter(|password| !password.is_empty());
    let Some(password) = password else {
        return Err(SecretError::Damaged(format!(
            "{}: no key password",
            path.display()
        )));
    };
    if let Ok(text) = std::str::from_utf8(&password) {
        let wanted = secret_data(user, text, address);
        let same = |(key, value): &(&str, String)| {
            *key == "password"
                || data
                    .get(*key)
                    .is_some_and(|bytes| bytes == value.as_bytes())
        };
        if !wanted.iter().all(same) {
            write(&path, name, user, text, address)?;
        }
    }
    Ok(Generated {
        password,
        path,
        created: false,
    })
}

fn write(
    path: &Path,
    name: &str,
    user: &ValidUser,
    password: &str,
    address: &str,
) -> Result<(), SecretError> {
    let data: serde_json::Map<String, serde_json::Value> = secret_data(user, password, address)
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    let manifest = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": user.namespace},
        "type": "Opaque", "stringData": data,
    });
    let yaml = serde_saphyr::to_string(&manifest)
        .map_err(|error| SecretError::Yaml(path.to_path_buf(), error))?;
    files::replace(path, yaml.as_bytes(), 0o600)
        .map_err(|error| SecretError::Io(path.to_path_buf(), error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn user() -> ValidUser {
        let resource = serde_json::from_value(json!({
            "apiVersion": "mqtt.isthmus.dev/v1alpha1", "kind": "MqttUser",
            "metadata": {"name": "demo", "namespace": "iot"},
            "spec": {"instanceRef": {"name": "plant"}, "username": "12"},
        }))
        .unwrap();
        crate::user::validate(&resource, None).unwrap()
    }

    #[test]
    fn a_secret_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let first = ensure(folder.path(), "demo-mqtt", &user(), "localhost:1883").unwrap();
        assert!(first.created);
        let mode = std::fs::metadata(&first.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&first.path).unwrap();
        let password = String::from_utf8(first.password.clone()).unwrap();
        assert!(
            text.contains(&format!("mqtt://12:{password}@localhost:1883")),
            "{text}"
        );
        let second = ensure(folder.path(), "demo-mqtt", &user(), "localhost:2883").unwrap();
        assert!(!second.created);
        assert_eq!(second.password, first.password);
        assert!(
            std::fs::read_to_string(&first.path)
                .unwrap()
                .contains("@localhost:2883")
        );
    }

    #[test]
    fn an_edited_password_counts_and_a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.yaml");
        std::fs::write(
            &path,
            "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: mine}\n",
        )
        .unwrap();
        assert_eq!(
            ensure(folder.path(), "s", &user(), "a:1").unwrap().password,
            b"mine"
        );
        std::fs::write(&path, "apiVersion: v1\nkind: Secret\n").unwrap();
        let error = ensure(folder.path(), "s", &user(), "a:1")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("s.yaml:1: metadata: is required (delete the file"),
            "{error}"
        );
    }
}
