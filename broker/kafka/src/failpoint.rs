//! Places where a test has this process stand still or die, once, between two steps.
//!
//! Only in binaries built with the feature `failpoints`, and only where `ISTHMUS_FAILPOINTS` names a
//! folder. A test arms a place by a file `<place>.<step>` there that says `stop` or `kill`. Whoever
//! reaches the place first takes it by renaming it to `<place>.<step>.<process id>`, so a fault
//! happens once, whichever process it hits.

/// A step of a place has been reached.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub const fn hit(_place: &str, _step: &str) {}

/// A step of a place has been reached.
#[cfg(feature = "failpoints")]
pub fn hit(place: &str, step: &str) {
    use std::path::PathBuf;
    use std::sync::LazyLock;

    static FOLDER: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os("ISTHMUS_FAILPOINTS").map(PathBuf::from));
    if let Some(folder) = &*FOLDER {
        act(folder, &format!("{place}.{step}"));
    }
}

#[cfg(feature = "failpoints")]
fn act(folder: &std::path::Path, point: &str) {
    use rustix::process::{Signal, getpid, kill_process};
    use std::time::Duration;

    let armed = folder.join(point);
    let Ok(fault) = std::fs::read_to_string(&armed) else {
        return;
    };
    let own = getpid();
    let taken = folder.join(format!("{point}.{}", own.as_raw_nonzero()));
    if std::fs::rename(&armed, taken).is_err() {
        return;
    }
    tracing::warn!(point, fault, "a fail point acts");
    let signal = match fault.trim() {
        "kill" => Signal::KILL,
        _ => Signal::STOP,
    };
    let _ = kill_process(own, signal);
    // The process is stopped a moment after the call: this thread goes no further before it is.
    std::thread::sleep(Duration::from_millis(50));
}
