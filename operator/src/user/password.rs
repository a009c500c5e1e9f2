//! Passwords: argon2id hashes for the directory, and generated ones.
//!
//! Invariant: a stored hash that still fits the password is kept, so that nothing is written
//! again at every start.

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};

/// Why a password could not be hashed or generated.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The system has no random bytes.
    #[error("no random bytes from the system: {0}")]
    Random(getrandom::Error),
    /// The hash was refused, e.g. for a password of 4 GiB.
    #[error("cannot hash the password: {0}")]
    Hash(argon2::password_hash::Error),
}

/// The stored hash where it fits the password, else a new one.
///
/// # Errors
/// [`PasswordError`]
pub fn keep_or_hash(password: &[u8], stored: Option<&str>) -> Result<String, PasswordError> {
    match stored {
        Some(stored) if fits(password, stored) => Ok(stored.to_owned()),
        _ => hash(password),
    }
}

fn fits(password: &[u8], stored: &str) -> bool {
    PasswordHash::new(stored)
        .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}

fn hash(password: &[u8]) -> Result<String, PasswordError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(PasswordError::Random)?;
    let salt = SaltString::encode_b64(&bytes).map_err(PasswordError::Hash)?;
    let hash = Argon2::default()
        .hash_password(password, &salt)
        .map_err(PasswordError::Hash)?;
    Ok(hash.to_string())
}

/// 24 characters that can be typed and need no quotes: 142 bits.
///
/// # Errors
/// [`PasswordError::Random`]
pub fn generate() -> Result<String, PasswordError> {
    const CHARACTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut password = String::new();
    while password.len() < 24 {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).map_err(PasswordError::Random)?;
        // Bytes past the last whole run of the alphabet would favour its start.
        let fair = bytes
            .iter()
            .filter_map(|byte| CHARACTERS.get(usize::from(byte & 63)));
        password.extend(fair.map(|byte| char::from(*byte)).take(24 - password.len()));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_that_fits_is_kept_and_another_password_gets_another() {
        let first = keep_or_hash(b"demo", None).unwrap();
        assert!(first.starts_with("$argon2id$"), "{first}");
        assert_eq!(keep_or_hash(b"demo", Some(&first)).unwrap(), first);
        assert_ne!(keep_or_hash(b"other", Some(&first)).unwrap(), first);
        assert_ne!(keep_or_hash(b"demo", Some("not a hash")).unwrap(), first);
    }

    #[test]
    fn passwords_of_any_bytes_are_hashed() {
        let bytes = [0, 255, 10, 128];
        let hash = keep_or_hash(&bytes, None).unwrap();
        assert!(fits(&bytes, &hash));
    }

    #[test]
    fn generated_passwords_differ_and_can_be_typed() {
        let (a, b) = (generate().unwrap(), generate().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.len(), 24);
        assert!(a.bytes().all(|c| c.is_ascii_alphanumeric()));
    }
}
