//! With a shell as the child.

use super::*;

fn program(folder: &Path, script: &str) -> Program {
    Program {
        name: "child".to_owned(),
        path: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into(), folder.join("marker").into()],
        log: folder.join("log"),
        pid_file: folder.join("pid"),
        marker: folder.join("marker").display().to_string(),
        grace: Duration::from_secs(5),
    }
}

async fn running(state: &mut watch::Receiver<State>) -> i32 {
    let found = timeout(Duration::from_secs(10), state.wait_for(|s| s.pid.is_some())).await;
    found.unwrap().unwrap().pid.unwrap()
}

/// Waits until the child has written this often; a shell sets its trap before.
async fn hellos(folder: &Path, count: usize) {
    let written = async {
        let log = || std::fs::read_to_string(folder.join("log")).unwrap();
        while log().matches("hello").count() < count {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), written).await.unwrap();
}

#[tokio::test]
async fn a_killed_child_is_started_again_and_stopped_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.05; done";
    let child = Supervised::start(program(folder.path(), script), Out::new(io::sink()));
    let mut state = child.state();
    let first = running(&mut state).await;
    hellos(folder.path(), 1).await;
    kill_process(Pid::from_raw(first).unwrap(), Signal::KILL).unwrap();
    let died = timeout(Duration::from_secs(10), state.wait_for(|s| s.deaths == 1)).await;
    died.unwrap().unwrap();
    let second = running(&mut state).await;
    assert_ne!(first, second);
    assert_eq!(
        std::fs::read_to_string(folder.path().join("pid")).unwrap(),
        second.to_string()
    );
    hellos(folder.path(), 2).await;
    child.stop().await;
    assert!(!folder.path().join("pid").exists());
    assert!(
        std::fs::read_to_string(folder.path().join("log"))
            .unwrap()
            .ends_with("bye\n")
    );
}

#[tokio::test]
async fn a_child_left_behind_is_stopped_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let program = program(folder.path(), "sleep 60; true");
    let mut left = Command::new(&program.path)
        .args(&program.arguments)
        .spawn()
        .unwrap();
    std::fs::write(&program.pid_file, left.id().unwrap().to_string()).unwrap();
    // The kernel shows the command line a moment after the start.
    let pid = Pid::from_raw(i32::try_from(left.id().unwrap()).unwrap()).unwrap();
    let seen = async {
        while !is_ours(pid, &program.marker) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(10), seen).await.unwrap();
    let reaper = tokio::spawn(async move { left.wait().await });
    assert!(stop_left_over(&program).await);
    reaper.await.unwrap().unwrap();
    // This test's own process has another command line.
    std::fs::write(&program.pid_file, std::process::id().to_string()).unwrap();
    assert!(!stop_left_over(&program).await);
    assert!(!program.pid_file.exists());
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let absent = Program {
        path: "/no/such".into(),
        ..program(folder.path(), "")
    };
    let file = std::fs::File::create(folder.path().join("out")).unwrap();
    let child = Supervised::start(absent, Out::new(file));
    sleep(Duration::from_millis(50)).await;
    child.stop().await;
    let out = std::fs::read_to_string(folder.path().join("out")).unwrap();
    assert!(
        out.starts_with("child: cannot start /no/such: No such file"),
        "{out}"
    );
}
