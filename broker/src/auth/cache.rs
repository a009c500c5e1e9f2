//! Credentials that were verified already, as keyed hashes under a key that never leaves the
//! process. The stored hash is part of what is hashed, so a changed password misses by itself.

use std::collections::HashSet;

use parking_lot::Mutex;

/// (User name, password, stored hash) under the process's key.
pub(super) type Digest = [u8; 32];

/// The set of verified credentials, bounded: two generations, the older of which is forgotten
/// when the younger has half of the bound; whoever comes back is moved to the younger.
pub(super) struct Verified {
    key: [u8; 32],
    half: usize,
    sets: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashSet<Digest>,
    old: HashSet<Digest>,
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verified").finish_non_exhaustive()
    }
}

impl Verified {
    pub(super) fn new(capacity: usize) -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self {
            key,
            half: capacity / 2,
            sets: Mutex::default(),
        })
    }

    pub(super) fn digest(&self, username: &str, password: &[u8], hash: &str) -> Digest {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for part in [username.as_bytes(), password, hash.as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize().into()
    }

    pub(super) fn contains(&self, digest: &Digest) -> bool {
        let mut sets = self.sets.lock();
        if sets.young.contains(digest) {
            return true;
        }
        if !sets.old.remove(digest) {
            return false;
        }
        sets.insert(*digest, self.half);
        true
    }

    pub(super) fn insert(&self, digest: Digest) {
        self.sets.lock().insert(digest, self.half);
    }
}

impl Generations {
    fn insert(&mut self, digest: Digest, half: usize) {
        if self.young.len() >= half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_depend_on_every_part_its_borders_and_the_process() {
        let verified = Verified::new(10).unwrap();
        let digest = verified.digest("ab", b"c", "h");
        assert_eq!(digest, verified.digest("ab", b"c", "h"));
        for other in [("a", &b"bc"[..], "h"), ("ab", b"ch", ""), ("ab", b"c", "i")] {
            assert_ne!(
                digest,
                verified.digest(other.0, other.1, other.2),
                "{other:?}"
            );
        }
        assert_ne!(digest, Verified::new(10).unwrap().digest("ab", b"c", "h"));
    }

    #[test]
    fn what_is_used_stays_and_the_bound_holds() {
        let verified = Verified::new(10).unwrap();
        let digest = |n: u8| verified.digest("u", &[n], "h");
        verified.insert(digest(0));
        for n in 1..200 {
            verified.insert(digest(n));
            assert!(verified.contains(&digest(0)), "forgotten at {n}");
        }
        assert!(!verified.contains(&digest(1)));
        let sets = verified.sets.lock();
        assert!(sets.young.len() + sets.old.len() <= 10);
    }
}
