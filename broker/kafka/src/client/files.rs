//! A [`Connection`] from the broker's configuration: its files are read once, at the start.

use super::{Connection, Identity, Sasl, Tls};
use std::path::{Path, PathBuf};

/// Why a file that the configuration names could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It could not be read.
    #[error("{field}: cannot read {}: {source}", path.display())]
    Read {
        /// The field of the configuration.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// It does not hold what it should.
    #[error("{field}: {} {fault}", path.display())]
    Content {
        /// The field of the configuration.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never what is in it.
        fault: &'static str,
    },
    /// One file without the other.
    #[error("kafka.tls: certificateFile and keyFile come together")]
    HalfAnIdentity,
}

impl Connection {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// When a file cannot be read or does not hold what it should.
    pub fn read(kafka: &isthmus_config::Kafka) -> Result<Self, FileError> {
        let tls = kafka.tls.as_ref().map(read_tls).transpose()?;
        let sasl = kafka.sasl.as_ref().map(read_sasl).transpose()?;
        Ok(Self {
            bootstrap_servers: kafka.bootstrap_servers.clone(),
            tls,
            sasl,
        })
    }
}

fn read_tls(tls: &isthmus_config::KafkaTls) -> Result<Tls, FileError> {
    let ca = tls.ca_file.as_deref();
    let ca = ca
        .map(|path| pem("kafka.tls.caFile", path, "CERTIFICATE"))
        .transpose()?;
    let identity = match (&tls.certificate_file, &tls.key_file) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(Identity {
            certificate: pem("kafka.tls.certificateFile", certificate, "CERTIFICATE")?,
            key: pem("kafka.tls.keyFile", key, "PRIVATE KEY")?,
        }),
        _ => return Err(FileError::HalfAnIdentity),
    };
    Ok(Tls { ca, identity })
}

fn read_sasl(sasl: &isthmus_config::KafkaSasl) -> Result<Sasl, FileError> {
    let field = "kafka.sasl.passwordFile";
    let password = text(field, &sasl.password_file)?;
    if password.is_empty() {
        return Err(FileError::Content {
            field,
            path: sasl.password_file.clone(),
            fault: "is empty",
        });
    }
    Ok(Sasl {
        mechanism: sasl.mechanism,
        username: sasl.username.clone(),
        password,
    })
}

/// A file with at least one PEM block of this kind.
fn pem(field: &'static str, path: &Path, kind: &'static str) -> Result<String, FileError> {
    let text = text(field, path)?;
    let found = text.lines().any(|line| {
        line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&format!("{kind}-----"))
    });
    if found {
        return Ok(text);
    }
    Err(FileError::Content {
        field,
        path: path.to_owned(),
        fault: if kind == "CERTIFICATE" {
            "holds no PEM certificate"
        } else {
            "holds no PEM private key"
        },
    })
}

/// A file's text, exactly: a line break at the end of a password is part of it.
fn text(field: &'static str, path: &Path) -> Result<String, FileError> {
    let bytes = std::fs::read(path).map_err(|source| FileError::Read {
        field,
        path: path.to_owned(),
        source,
    })?;
    let text = String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'));
    text.ok_or_else(|| FileError::Content {
        field,
        path: path.to_owned(),
        fault: "is not UTF-8 text",
    })
}
