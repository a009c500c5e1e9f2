//! A broker process as local mode sees it: where it is, whether it is ready, what it complains of.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::out::Out;
use super::process::{Program, State};

/// The executable: as asked for, else beside this one.
///
/// # Errors
/// It is not there.
pub fn executable(asked: Option<&Path>) -> Result<PathBuf, String> {
    let path = match asked {
        Some(path) => path.to_path_buf(),
        None => std::env::current_exe()
            .map_err(|error| format!("cannot tell where this program is: {error}"))?
            .with_file_name("isthmus-broker"),
    };
    if path.is_file() {
        // Found from any folder.
        std::path::absolute(&path).map_err(|error| format!("{}: {error}", path.display()))
    } else {
        Err(format!(
            "no broker at {}: build it with cargo build, or give --broker PATH",
            path.display()
        ))
    }
}

/// How the broker with this number is run.
#[must_use]
pub fn program(executable: &Path, folder: &Path, number: u16) -> Program {
    let name = format!("broker-{number}");
    let file = |end: &str| folder.join(format!("{name}.{end}"));
    let config = file("json");
    Program {
        path: executable.to_path_buf(),
        arguments: vec!["--config".into(), config.clone().into_os_string()],
        log: file("log"),
        pid_file: file("pid"),
        marker: config.display().to_string(),
        grace: Duration::from_secs(30),
        name,
    }
}

/// Follows `/readyz` for ever and says when and why the broker is not ready. `ready` is told it,
/// and says what it was told before.
pub async fn follow(
    name: String,
    monitoring: String,
    process: watch::Receiver<State>,
    ready: impl Fn(bool) -> bool,
    out: Out,
) {
    let mut said = String::new();
    let mut unready_since = Instant::now();
    loop {
        let reason = match process.borrow().pid {
            None => Some("it does not run".to_owned()),
            Some(_) => None,
        };
        let reason = match reason {
            Some(reason) => Some(reason),
            None => ask(&monitoring).await.err(),
        };
        match reason {
            None => {
                if !ready(true) {
                    out.line(format!("{name} ready"));
                }
                said.clear();
                unready_since = Instant::now();
                sleep(Duration::from_secs(1)).await;
            }
            Some(reason) => {
                ready(false);
                // An ordinary start is quicker than this and needs no words.
                if reason != said && unready_since.elapsed() > Duration::from_secs(1) {
                    out.line(format!("{name} not ready: {reason}"));
                    said = reason;
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Asks `/readyz`; the reason when it is not ready.
async fn ask(monitoring: &str) -> Result<(), String> {
    let answer = async {
        let mut stream = TcpStream::connect(monitoring).await?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .await?;
        let mut answer = Vec::new();
        stream.take(64 * 1024).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    match timeout(Duration::from_secs(2), answer).await {
        Err(_) => Err(format!("no answer from {monitoring}/readyz")),
        Ok(Err(error)) => Err(format!("{monitoring}/readyz: {error}")),
        Ok(Ok(answer)) => verdict(&answer),
    }
}

fn verdict(answer: &str) -> Result<(), String> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    if head.split_ascii_whitespace().nth(1) == Some("200") {
        return Ok(());
    }
    let lines: Vec<&str> = body
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let reason = if lines.is_empty() {
        head.lines().next().unwrap_or_default().to_owned()
    } else {
        lines.join("; ")
    };
    Err(shortened(&reason))
}

/// Follows the log from its present end and shows warnings and errors.
pub async fn show_complaints(name: String, log: PathBuf, out: Out) {
    let mut offset = std::fs::metadata(&log).map_or(0, |m| m.len());
    let mut rest = String::new();
    loop {
        sleep(Duration::from_millis(300)).await;
        let Ok(new) = read_from(&log, offset) else {
            continue;
        };
        offset += new.len() as u64;
        rest.push_str(&String::from_utf8_lossy(&new));
        let Some((lines, tail)) = rest.rsplit_once('\n') else {
            continue;
        };
        let complaints: Vec<&str> = lines.lines().filter(|line| is_complaint(line)).collect();
        for line in complaints.iter().take(MOST_LINES) {
            out.line(format!("{name}: {}", shortened(line)));
        }
        if complaints.len() > MOST_LINES {
            let more = complaints.len() - MOST_LINES;
            out.line(format!("{name}: {more} more in {}", log.display()));
        }
        rest = tail.to_owned();
    }
}

/// Lines shown of one look at the log.
const MOST_LINES: usize = 10;

fn read_from(log: &Path, offset: u64) -> std::io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(log)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut new = Vec::new();
    file.take(1 << 20).read_to_end(&mut new)?;
    Ok(new)
}

fn is_complaint(line: &str) -> bool {
    ["WARN", "ERROR", "panicked at", "Error: "]
        .iter()
        .any(|word| line.contains(word))
}

fn shortened(text: &str) -> String {
    const MOST: usize = 400;
    let mut short: String = text.chars().take(MOST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_what_the_broker_says() {
        assert_eq!(verdict("HTTP/1.1 200 OK\r\n\r\nready\n"), Ok(()));
        assert_eq!(
            verdict(
                "HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\nkafka: no answer\nslots: 3 of 32\n"
            ),
            Err("kafka: no answer; slots: 3 of 32".to_owned())
        );
        assert_eq!(
            verdict("HTTP/1.1 404 Not Found\r\n\r\n"),
            Err("HTTP/1.1 404 Not Found".to_owned())
        );
    }

    #[test]
    fn complaints_are_told_from_news() {
        assert!(is_complaint("2026-01-01T00:00:00Z  WARN isthmus: a"));
        assert!(is_complaint("{\"level\":\"ERROR\"}"));
        assert!(is_complaint("thread 'main' panicked at src/main.rs:1:1:"));
        assert!(!is_complaint("2026-01-01T00:00:00Z  INFO isthmus: a"));
    }

    #[test]
    fn a_broker_that_is_not_there_is_named() {
        let error = executable(Some(Path::new("/no/broker"))).unwrap_err();
        assert_eq!(
            error,
            "no broker at /no/broker: build it with cargo build, or give --broker PATH"
        );
    }
}
