//! A child process that is kept running: started again when it dies, stopped in order.
//!
//! Children run in their own process group, so that Ctrl-C reaches them only through us and in
//! our order. A pid file lets the next start stop a child that a killed operator left behind.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::out::Out;

/// What to run.
#[derive(Clone, Debug)]
pub struct Program {
    /// For people.
    pub name: String,
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Both its outputs are appended here.
    pub log: PathBuf,
    /// Holds its process id while it runs.
    pub pid_file: PathBuf,
    /// One of `arguments` that no other process has.
    pub marker: String,
    /// How long an orderly stop may take.
    pub grace: Duration,
}

/// Whether the child runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The process id while it runs.
    pub pid: Option<i32>,
    /// Times that it ended by itself.
    pub deaths: u32,
}

/// A child that is kept running.
#[derive(Debug)]
pub struct Supervised {
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<State>,
}

#[derive(Debug)]
enum Order {
    Restart(oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
}

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// A child that ran this long starts again at once.
const STABLE: Duration = Duration::from_secs(30);

impl Supervised {
    /// Starts it, and again whenever it ends.
    #[must_use]
    pub fn start(program: Program, out: Out) -> Self {
        let (orders, receiver) = mpsc::channel(4);
        let (sender, state) = watch::channel(State::default());
        tokio::spawn(
            Keeper {
                program,
                out,
                state: sender,
                pause: FIRST_PAUSE,
            }
            .run(receiver),
        );
        Self { orders, state }
    }

    /// Follows whether it runs.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Stops it in order and starts it again.
    pub async fn restart(&self) {
        let (done, waiting) = oneshot::channel();
        if self.orders.send(Order::Restart(done)).await.is_ok() {
            // An error means that the keeper has ended.
            let _ = waiting.await;
        }
    }

    /// Stops it in order; nothing where it was stopped before.
    pub async fn stop(&self) {
        let (done, waiting) = oneshot::channel();
        if self.orders.send(Order::Stop(done)).await.is_ok() {
            // An error means that the keeper has ended.
            let _ = waiting.await;
        }
    }
}

struct Keeper {
    program: Program,
    out: Out,
    state: watch::Sender<State>,
    pause: Duration,
}

enum Next {
    Again,
    End,
}

impl Keeper {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            let next = match spawn(&self.program) {
                Ok(child) => self.keep(child, &mut orders).await,
                Err(error) => {
                    let Program { name, path, .. } = &self.program;
                    self.out
                        .line(format!("{name}: cannot start {}: {error}", path.display()));
                    self.wait(&mut orders).await
                }
            };
            if matches!(next, Next::End) {
                return;
            }
        }
    }

    async fn keep(&mut self, mut child: Child, orders: &mut mpsc::Receiver<Order>) -> Next {
        let started = Instant::now();
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        self.state.send_modify(|state| state.pid = pid);
        tokio::select! {
            ended = child.wait() => {
                self.state.send_modify(|state| { state.pid = None; state.deaths += 1; });
                if started.elapsed() > STABLE {
                    self.pause = FIRST_PAUSE;
                }
                let Program { name, log, .. } = &self.program;
                let how = ended.map_or_else(|error| error.to_string(), describe);
                self.out.line(format!(
                    "{name} ended ({how}), started again in {:.1} s; its log: {}",
                    self.pause.as_secs_f32(),
                    log.display()
                ));
                self.wait(orders).await
            }
            order = orders.recv() => {
                stop(&mut child, self.program.grace).await;
                self.state.send_modify(|state| state.pid = None);
                remove(&self.program.pid_file);
                self.pause = FIRST_PAUSE;
                obey(order)
            }
        }
    }

    /// Waits before the next start; an order comes first.
    async fn wait(&mut self, orders: &mut mpsc::Receiver<Order>) -> Next {
        let pause = self.pause;
        self.pause = (pause * 2).min(LAST_PAUSE);
        tokio::select! {
            () = sleep(pause) => Next::Again,
            order = orders.recv() => obey(order),
        }
    }
}

/// Nobody listens for the answer where the one who ordered has ended.
fn obey(order: Option<Order>) -> Next {
    match order {
        Some(Order::Restart(done)) => {
            let _ = done.send(());
            Next::Again
        }
        Some(Order::Stop(done)) => {
            let _ = done.send(());
            Next::End
        }
        None => Next::End,
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

fn spawn(program: &Program) -> io::Result<Child> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&program.log)?;
    let child = Command::new(&program.path)
        .args(&program.arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    if let Some(id) = child.id() {
        super::files::replace(&program.pid_file, id.to_string().as_bytes(), 0o644)?;
    }
    Ok(child)
}

async fn stop(child: &mut Child, grace: Duration) {
    if let Some(pid) = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw)
    {
        // It may have ended on its own by now.
        let _ = kill_process(pid, Signal::TERM);
    }
    if timeout(grace, child.wait()).await.is_err() {
        // As above.
        let _ = child.kill().await;
    }
}

fn remove(path: &Path) {
    // An absent one is what is wanted, a stale one is seen through.
    let _ = std::fs::remove_file(path);
}

/// Stops a child that a killed operator left behind; whether there was one.
pub async fn stop_left_over(program: &Program) -> bool {
    let written = std::fs::read_to_string(&program.pid_file).unwrap_or_default();
    let Some(pid) = written.trim().parse().ok().and_then(Pid::from_raw) else {
        return false;
    };
    if !is_ours(pid, &program.marker) {
        remove(&program.pid_file);
        return false;
    }
    // It may end on its own meanwhile.
    let _ = kill_process(pid, Signal::TERM);
    let deadline = Instant::now() + program.grace;
    while is_ours(pid, &program.marker) {
        if Instant::now() > deadline {
            let _ = kill_process(pid, Signal::KILL);
        }
        sleep(Duration::from_millis(50)).await;
    }
    remove(&program.pid_file);
    true
}

/// The pid may be another process's by now: its command line tells.
fn is_ours(pid: Pid, marker: &str) -> bool {
    let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    line.split(|byte| *byte == 0)
        .any(|argument| argument == marker.as_bytes())
}

#[cfg(test)]
mod tests;
