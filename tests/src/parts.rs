//! Where the real parts are: our binaries, Kafka's jars, other people's clients.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// The checkout, found from where the program runs: a path from the compiler would be another
/// checkout's where two share one folder of built things.
#[must_use]
pub fn repository() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let here = std::env::current_dir().expect("the current folder");
        let mut above = here.ancestors();
        let root = above.find(|folder| folder.join("hack/setup").is_file());
        root.expect("started inside the checkout").to_owned()
    })
}

/// One of our binaries: from `ISTHMUS_BIN_DIR`, else built here once.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| match std::env::var_os("ISTHMUS_BIN_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => build(),
    });
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is missing: make test builds it",
        path.display()
    );
    path
}

fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args([
            "build",
            "--profile",
            "quick",
            "--bin",
            "isthmus-operator",
            "--bin",
            "isthmus-broker",
            "--features",
            "isthmus-broker/failpoints",
        ])
        .current_dir(repository())
        .status()
        .expect("cargo");
    assert!(built.success(), "the binaries do not build");
    // <target>/<profile>/deps/<test binary>
    let own = std::env::current_exe().expect("own path");
    own.ancestors().nth(3).expect("target folder").join("quick")
}

/// The folder of Kafka's jars.
#[must_use]
pub fn kafka_jars() -> PathBuf {
    static JARS: OnceLock<PathBuf> = OnceLock::new();
    JARS.get_or_init(|| setup(&["kafka"])).clone()
}

/// The folder with the built client programs of `tests/sdk/<language>`.
#[must_use]
pub fn sdk(language: &str) -> PathBuf {
    setup(&["sdk", language])
}

/// `hack/setup …`, which prints a folder and makes it the first time.
fn setup(arguments: &[&str]) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let output = Command::new(repository().join("hack/setup"))
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("hack/setup");
    assert!(output.status.success(), "hack/setup {arguments:?} failed");
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
}
