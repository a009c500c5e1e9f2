//! What Linux tells of processes, and who runs where.

use anyhow::Context as _;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::time::Duration;

/// The cores of a run: the broker's own, the load generator's own, and Kafka's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) broker: CpuSet,
    pub(crate) load: CpuSet,
    pub(crate) kafka: CpuSet,
    /// How many there are in all.
    pub(crate) count: usize,
}

impl Cores {
    /// Divides the cores that this process may use; Kafka shares the load generator's where there
    /// are no more than two.
    pub(crate) fn divide() -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU)
            .filter(|core| allowed.is_set(*core))
            .collect();
        let &[broker, load, ref rest @ ..] = cores.as_slice() else {
            anyhow::bail!("two cores are needed: one for the broker, one for the load");
        };
        let set = |cores: &[usize]| {
            let mut set = CpuSet::new();
            cores.iter().for_each(|core| set.set(*core));
            set
        };
        Ok(Self {
            broker: set(&[broker]),
            load: set(&[load]),
            kafka: if rest.is_empty() {
                set(&[load])
            } else {
                set(rest)
            },
            count: cores.len(),
        })
    }
}

/// Moves this thread; the processes that it starts stay where it was.
pub(crate) fn move_to(cores: &CpuSet) -> anyhow::Result<()> {
    Ok(sched_setaffinity(None, cores)?)
}

/// Moves all threads of a process.
pub(crate) fn move_process(pid: u32, cores: &CpuSet) -> anyhow::Result<()> {
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let task: i32 = task?.file_name().to_string_lossy().parse()?;
        // One that has ended since needs no core.
        let _ = sched_setaffinity(Pid::from_raw(task), cores);
    }
    Ok(())
}

/// Lets this thread go before others of its core, where that is allowed (root): its clock measures,
/// and Kafka may be on the same core. What is started meanwhile has the same right, so this is taken
/// back before.
pub(crate) fn hurry(hurry: bool) {
    let _ = rustix::process::setpriority_process(None, if hurry { -15 } else { 0 });
}

/// As many files as the kernel allows root, else as the hard limit says.
pub(crate) fn raise_file_limit() {
    const ENOUGH: u64 = 200_000;
    let limit = |soft, hard| Rlimit {
        current: Some(soft),
        maximum: Some(hard),
    };
    if setrlimit(Resource::Nofile, limit(ENOUGH, ENOUGH)).is_err()
        && let Some(hard) = getrlimit(Resource::Nofile).maximum
    {
        let _ = setrlimit(Resource::Nofile, limit(hard, hard));
    }
}

/// CPU time of a process, user and system.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    // Nanoseconds of each thread; /proc/<pid>/stat counts in hundredths of a second.
    let mut nanoseconds = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"));
        let first = text
            .ok()
            .and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        nanoseconds += first.unwrap_or_default();
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// CPU time of this process.
pub(crate) fn own_cpu() -> anyhow::Result<Duration> {
    cpu(std::process::id())
}

/// Resident memory that is a process's own, bytes.
pub(crate) fn memory(pid: u32) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("no Pss in smaps_rollup")?;
    Ok(kib.parse::<u64>()? * 1024)
}

/// The processor's name.
pub(crate) fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("model name"))
        .and_then(|rest| rest.split(':').nth(1))
        .map_or_else(|| "unknown".to_owned(), |name| name.trim().to_owned())
}
