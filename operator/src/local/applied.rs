//! What was applied last, kept in `DIR/applied.json`: with it, forbidden changes and removed
//! resources are recognised across restarts.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::instance::MqttInstance;
use crate::parent_topic::ParentTopic;
use crate::user::MqttUser;

/// What was applied last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// The instance.
    #[serde(default)]
    pub instance: Option<MqttInstance>,
    /// The Kafka cluster that the topics are in.
    #[serde(default)]
    pub cluster_id: Option<String>,
    /// Parent topics.
    #[serde(default)]
    pub parents: Vec<AppliedParent>,
    /// Users.
    #[serde(default)]
    pub users: Vec<MqttUser>,
}

/// A parent topic that was applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppliedParent {
    /// The resource.
    pub resource: ParentTopic,
    /// The Kafka topic, prefix included.
    pub kafka_topic: String,
    /// The id that Kafka gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// The configs that the resource named.
    #[serde(default)]
    pub configs: std::collections::BTreeSet<String>,
}

impl Applied {
    /// The parent topic applied under a resource name.
    #[must_use]
    pub fn parent(&self, name: &str) -> Option<&AppliedParent> {
        self.parents
            .iter()
            .find(|p| p.resource.metadata.name.as_deref() == Some(name))
    }

    /// The user applied under a resource name.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&MqttUser> {
        self.users
            .iter()
            .find(|u| u.metadata.name.as_deref() == Some(name))
    }

    /// Reads it; nothing was applied where there is no file.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn read(path: &Path) -> io::Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(self).map_err(io::Error::from)?;
        super::files::replace(path, &bytes, 0o644)
    }
}
