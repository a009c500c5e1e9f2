//! Notices that files changed: told by the system, and by looking every two seconds where the
//! system does not tell (network drives, some containers). The content decides.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::load;

/// An editor writes a file in several steps.
const SETTLE: Duration = Duration::from_millis(200);
const LOOK: Duration = Duration::from_secs(2);

/// Watches files and folders.
#[derive(Debug)]
pub struct Watch {
    arguments: Vec<PathBuf>,
    seen: Contents,
    hints: mpsc::Receiver<()>,
    /// Held for its thread; absent where the system tells nothing.
    _watcher: Option<RecommendedWatcher>,
}

type Contents = BTreeMap<PathBuf, Option<u64>>;

impl Watch {
    /// Starts with what the files hold now.
    #[must_use]
    pub fn new(arguments: &[PathBuf]) -> Self {
        let (sender, hints) = mpsc::channel(1);
        let told = move |event: notify::Result<notify::Event>| {
            // Looking reads the files, which the system tells as well.
            if event.is_ok_and(|event| event.kind.is_access()) {
                return;
            }
            // A full channel holds a hint already.
            let _ = sender.try_send(());
        };
        let mut watcher = notify::recommended_watcher(told).ok();
        for argument in arguments {
            // A file is watched through its folder, for editors put a new one in its place.
            let folder = if argument.is_dir() {
                Some(argument.as_path())
            } else {
                argument.parent()
            };
            let folder = folder
                .filter(|f| !f.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            if let Some(watcher) = &mut watcher {
                // Looking every two seconds does it too.
                let _ = watcher.watch(folder, RecursiveMode::NonRecursive);
            }
        }
        let seen = contents(arguments);
        Self {
            arguments: arguments.to_vec(),
            seen,
            hints,
            _watcher: watcher,
        }
    }

    /// Returns when a file was added, removed or has other bytes. May be cancelled.
    pub async fn changed(&mut self) {
        loop {
            // Either a hint, or it is time to look.
            match timeout(LOOK, self.hints.recv()).await {
                // A busy folder is looked at a few times a second.
                Ok(Some(())) => sleep(SETTLE).await,
                Ok(None) => sleep(LOOK).await,
                Err(_) => {}
            }
            let mut now = contents(&self.arguments);
            if now == self.seen {
                continue;
            }
            loop {
                sleep(SETTLE).await;
                let later = contents(&self.arguments);
                if later == now {
                    break;
                }
                now = later;
            }
            self.seen = now;
            return;
        }
    }
}

fn contents(arguments: &[PathBuf]) -> Contents {
    let mut contents = Contents::new();
    for argument in arguments {
        let files = load::files(argument).unwrap_or_else(|_| vec![argument.clone()]);
        for file in files {
            let hash = std::fs::read(&file).ok().map(|bytes| {
                let mut hasher = DefaultHasher::new();
                bytes.hash(&mut hasher);
                hasher.finish()
            });
            contents.insert(file, hash);
        }
    }
    contents
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn changed_replaced_and_new_files_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        std::fs::write(&file, "a").unwrap();
        let mut watch = Watch::new(std::slice::from_ref(&file));
        std::fs::write(&file, "b").unwrap();
        timeout(SOON, watch.changed()).await.unwrap();
        std::fs::write(folder.path().join("new"), "c").unwrap();
        std::fs::rename(folder.path().join("new"), &file).unwrap();
        timeout(SOON, watch.changed()).await.unwrap();
        let mut watch = Watch::new(&[folder.path().to_path_buf()]);
        std::fs::write(folder.path().join("b.yaml"), "").unwrap();
        timeout(SOON, watch.changed()).await.unwrap();
        std::fs::remove_file(&file).unwrap();
        timeout(SOON, watch.changed()).await.unwrap();
    }

    #[tokio::test]
    async fn looking_does_not_cause_looking() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        std::fs::write(&file, "a").unwrap();
        let mut watch = Watch::new(std::slice::from_ref(&file));
        let _ = contents(std::slice::from_ref(&file));
        let told = timeout(Duration::from_millis(500), watch.hints.recv()).await;
        assert!(told.is_err());
        std::fs::write(&file, "b").unwrap();
        assert_eq!(timeout(SOON, watch.hints.recv()).await, Ok(Some(())));
    }

    #[tokio::test]
    async fn the_same_bytes_again_are_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        std::fs::write(&file, "a").unwrap();
        let mut watch = Watch::new(std::slice::from_ref(&file));
        std::fs::write(&file, "a").unwrap();
        assert!(
            timeout(Duration::from_millis(600), watch.changed())
                .await
                .is_err()
        );
    }
}
