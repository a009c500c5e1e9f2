//! The authority of the instance: the brokers' certificates for each other come from it.
//!
//! Invariant: it is made once and kept; its certificate is there only together with its key, which
//! nobody else may read.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};

use super::files;
use super::folder::Folder;
use crate::instance::build::Authority;

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file of it.
    #[error("{0}: {1}")]
    Io(PathBuf, #[source] std::io::Error),
    /// The key or the certificate.
    #[error("cannot make the authority for the brokers' links: {0}")]
    Make(#[from] rcgen::Error),
}

/// Where its files are.
#[must_use]
pub fn files_of(folder: &Folder) -> Authority {
    Authority {
        certificate: folder.file("ca.pem"),
        key: folder.file("ca-key.pem"),
    }
}

/// Makes it where it is absent.
///
/// # Errors
/// [`AuthorityError`]
pub fn ensure(folder: &Folder, instance: &str) -> Result<Authority, AuthorityError> {
    let authority = files_of(folder);
    if authority.certificate.exists() && authority.key.exists() {
        return Ok(authority);
    }
    let (certificate, key) = make(instance)?;
    // One that has lost its key says nothing any more.
    match std::fs::remove_file(&authority.certificate) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(AuthorityError::Io(authority.certificate, error));
        }
        _ => {}
    }
    files::replace(&authority.key, key.as_bytes(), 0o600)
        .map_err(|error| AuthorityError::Io(authority.key.clone(), error))?;
    files::replace(&authority.certificate, certificate.as_bytes(), 0o644)
        .map_err(|error| AuthorityError::Io(authority.certificate.clone(), error))?;
    Ok(authority)
}

/// Certificate and key, in PEM.
///
/// # Errors
/// When no key can be made.
pub fn make(instance: &str) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let names = &mut params.distinguished_name;
    names.push(
        DnType::CommonName,
        format!("Isthmus {instance}, between brokers"),
    );
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn it_is_made_once_with_a_key_that_nobody_else_reads() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::open(scratch.path()).unwrap();
        let authority = ensure(&folder, "plant").unwrap();
        let read = || {
            let text = |path| std::fs::read_to_string(path).unwrap();
            (text(&authority.certificate), text(&authority.key))
        };
        let first = read();
        let mode = std::fs::metadata(&authority.key)
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        // The two belong together: a certificate can be signed with them.
        let key = KeyPair::from_pem(&first.1).unwrap();
        let issuer = rcgen::Issuer::from_ca_cert_pem(&first.0, key).unwrap();
        let leaf = KeyPair::generate().unwrap();
        CertificateParams::default()
            .signed_by(&leaf, &issuer)
            .unwrap();
        assert_eq!(ensure(&folder, "plant").unwrap(), authority);
        assert_eq!(read(), first);
        std::fs::remove_file(&authority.key).unwrap();
        ensure(&folder, "plant").unwrap();
        let second = read();
        assert!(second.0 != first.0 && second.1 != first.1);
    }
}
