//! How much memory a process holds.

/// Resident memory of a process in bytes; `None` when it is gone.
#[must_use]
pub fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Of this process.
#[must_use]
pub fn own() -> u64 {
    resident(std::process::id()).expect("/proc/self/status")
}

/// Bytes as MiB with one digit.
#[must_use]
pub fn mib(bytes: u64) -> String {
    let tenths = bytes * 10 / (1024 * 1024);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}
