//! What a test process starts and writes, and its end.
//!
//! One folder per test process, removed when the process ends; every child carries a mark in its
//! environment, and a watcher process ends all that carry it when the test process is gone, even
//! after a kill -9. `ISTHMUS_KEEP=1` keeps the folder. A panic prints the ends of the logs.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually;

const MARK: &str = "ISTHMUS_TEST_RUN";

/// Waits for the end of its standard input, which the test process holds.
const WATCHER: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
for attempt in 1 2 3; do
    for process in /proc/[0-9]*; do
        if grep -qz "^$1$" "$process/environ" 2>/dev/null; then
            kill -KILL "${process#/proc/}" 2>/dev/null
        fi
    done
done
[ ! -e "$2/at-end" ] || bash "$2/at-end" >/dev/null 2>&1
[ -n "${ISTHMUS_KEEP:-}" ] || rm -rf -- "$2" || { sleep 1; rm -rf -- "$2"; }
"#;

struct Run {
    folder: PathBuf,
    mark: String,
    logs: Mutex<Vec<PathBuf>>,
    _watcher: Child,
}

fn run() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| {
        let mark = format!("{:016x}", rand::random::<u64>());
        let folder = std::env::temp_dir().join(format!("isthmus-tests.{mark}"));
        std::fs::create_dir_all(&folder).expect("temporary folder");
        let watcher = Command::new("bash")
            .args(["-c", WATCHER, "watcher"])
            .arg(format!("{MARK}={mark}"))
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("bash");
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            show_logs();
        }));
        Run {
            folder,
            mark,
            logs: Mutex::default(),
            _watcher: watcher,
        }
    })
}

/// The folder of this test process; `name` becomes a new folder in it.
#[must_use]
pub fn folder(name: &str) -> PathBuf {
    let path = run().folder.join(crate::unique(name));
    std::fs::create_dir_all(&path).expect("folder");
    path
}

/// Has a shell command run when this test process is gone and what it started is ended, however it
/// ends: for what outlives a process, such as a mount.
pub fn at_end(command: &str) {
    let path = run().folder.join("at-end");
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .expect("file");
    writeln!(file, "{command}").expect("file");
}

/// Has the end of this file printed when a test panics.
pub fn show_on_panic(log: &Path) {
    let mut logs = run()
        .logs
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    logs.retain(|other| other != log);
    logs.push(log.to_owned());
}

fn show_logs() {
    static SHOWN: AtomicU16 = AtomicU16::new(0);
    if SHOWN.fetch_add(1, Ordering::Relaxed) >= 3 {
        return;
    }
    let logs = run()
        .logs
        .try_lock()
        .map(|logs| logs.clone())
        .unwrap_or_default();
    for path in logs {
        let text = std::fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(25);
        eprintln!(
            "--- end of {}\n{}",
            path.display(),
            lines[from..].join("\n")
        );
    }
}

/// A port of the loopback interface that is free now and given to nobody else in this process.
/// Below the range from which the system takes ports for outgoing connections.
#[must_use]
pub fn free_port() -> u16 {
    free_ports(1)
}

/// So many ports in a row, as [`free_port`]; the first of them.
#[must_use]
pub fn free_ports(count: u16) -> u16 {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU16::new(15_000 + rand::random_range(0..15_000)));
    let free = |port: u16| {
        TcpListener::bind(("127.0.0.1", port)).is_ok()
            && TcpListener::bind(("0.0.0.0", port)).is_ok()
    };
    loop {
        let port = next.fetch_add(count, Ordering::Relaxed);
        if port + count > 32_000 {
            next.store(15_000, Ordering::Relaxed);
        } else if (port..port + count).all(free) {
            return port;
        }
    }
}

/// A child process whose output goes to a file; ended with kill -9 when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command; its output is appended to `log`.
    #[must_use]
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("log file");
        show_on_panic(log);
        let child = marked(command)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("log file"))
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        }
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        send(self.id(), signal);
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("wait")
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        eventually(&what, within, || self.ended())
    }

    /// SIGKILL, and gone.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            self.child.kill().expect("kill");
            self.child.wait().expect("wait");
        }
    }

    /// What it has printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits for a line that contains `text`, and returns it.
    #[track_caller]
    pub fn wait_for_line(&mut self, text: &str, within: Duration) -> String {
        let what = format!("{} prints {text:?}", self.name);
        eventually(&what, within, || {
            let found = self
                .output()
                .lines()
                .find(|line| line.contains(text))
                .map(str::to_owned);
            if found.is_none()
                && let Some(status) = self.ended()
            {
                panic!(
                    "{} ended ({status}) without {text:?}:\n{}",
                    self.name,
                    self.output()
                );
            }
            found
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if let Ok(mut logs) = run().logs.lock()
            && !std::thread::panicking()
        {
            logs.retain(|other| *other != self.log);
        }
    }
}

/// Marks a command as started by this test process.
pub fn marked(command: &mut Command) -> &mut Command {
    command.env(MARK, &run().mark)
}

/// Sends a signal to a process that this run started.
pub fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).expect("a process id");
    kill_process(pid, signal).expect("signal");
}

/// The living descendants of a process whose command is called `name`.
#[must_use]
pub fn descendants(of: u32, name: &str) -> Vec<u32> {
    let mut found = Vec::new();
    let mut open = vec![of];
    while let Some(pid) = open.pop() {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let children =
                std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            open.extend(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
        if pid != of && alive(pid) && command_of(pid) == name {
            found.push(pid);
        }
    }
    found
}

/// Whether the process runs (a zombie does not).
#[must_use]
pub fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .trim()
        .chars()
        .next();
    !matches!(state, None | Some('Z' | 'X'))
}

/// File name of the program that a process runs.
#[must_use]
pub fn command_of(pid: u32) -> String {
    let program = arguments_of(pid).into_iter().next().unwrap_or_default();
    program.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The command line of a process.
#[must_use]
pub fn arguments_of(pid: u32) -> Vec<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect()
}

/// Writes a file whole or not at all.
pub fn write_file(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside).expect("file");
    file.write_all(text.as_bytes()).expect("file");
    std::fs::rename(&beside, path).expect("rename");
}
