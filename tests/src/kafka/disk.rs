//! The disk of a Kafka that can be full.
//!
//! As root a small file system in memory, which is shrunk to what is in it: every write that needs a
//! new page fails with "no space left on device". Otherwise the process's own limit of file sizes,
//! under which every append fails with "file too large".

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::run;

/// How a disk is made full.
#[derive(Debug)]
pub(super) enum Disk {
    /// A file system of this size in MiB, mounted here.
    Memory(PathBuf, u64),
    /// The process's limit of file sizes.
    Limit,
}

impl Disk {
    /// Mounts a file system of `mebibytes` on `folder` where that is allowed.
    pub(super) fn new(folder: &Path, mebibytes: u64) -> Self {
        std::fs::create_dir_all(folder).expect("folder");
        let size = format!("size={mebibytes}m");
        // Before the mount: whatever happens next, it is taken off at the end.
        run::at_end(&format!("umount -l '{}' 2>/dev/null", folder.display()));
        if mount(&["-t", "tmpfs", "-o", &size, "isthmus-tests"], folder) {
            Self::Memory(folder.to_owned(), mebibytes)
        } else {
            eprintln!(
                "a full disk: mounting is not allowed, a limit of file sizes takes its place"
            );
            Self::Limit
        }
    }

    /// From now on nothing more can be stored.
    pub(super) fn fill(&self, process: u32) {
        match self {
            Self::Memory(folder, _) => {
                // What is stored grows meanwhile, so that the first size may be refused.
                crate::eventually("a full disk", crate::SOON, || {
                    let size = format!("remount,size={}k", used(folder) + 32);
                    mount(&["-o", &size], folder).then_some(())
                });
            }
            Self::Limit => limit(process, Some(4096)),
        }
    }

    /// There is room again.
    pub(super) fn free(&self, process: Option<u32>) {
        match self {
            Self::Memory(folder, mebibytes) => {
                let size = format!("remount,size={mebibytes}m");
                assert!(mount(&["-o", &size], folder), "the disk stays full");
            }
            Self::Limit => {
                if let Some(process) = process.filter(|process| run::alive(*process)) {
                    limit(process, None);
                }
            }
        }
    }
}

fn mount(arguments: &[&str], folder: &Path) -> bool {
    let mut command = Command::new("mount");
    command.args(arguments).arg(folder);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// KiB in use.
fn used(folder: &Path) -> u64 {
    let output = Command::new("df")
        .args(["--output=used", "-k"])
        .arg(folder)
        .output()
        .expect("df");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .nth(1)
        .and_then(|line| line.trim().parse().ok())
        .expect("df's answer")
}

fn limit(process: u32, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(process).expect("a process id"));
    let limits = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(pid, Resource::Fsize, limits).expect("limit of file sizes");
}
