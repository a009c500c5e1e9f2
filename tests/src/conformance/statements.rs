//! The statements of each version of MQTT, as listed in `tests/conformance`.

use crate::parts::repository;

/// Whom a statement binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The server.
    Server,
    /// Whoever sends or receives.
    Both,
    /// The client alone.
    Client,
}

/// One normative statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its number without `MQTT-`, or a name where the standard has no numbers.
    pub number: String,
    /// Whom it binds.
    pub bound: Bound,
    /// What it says, in short.
    pub says: String,
    /// What we do where it leaves a choice.
    pub choice: String,
}

/// A version of the standard.
#[derive(Clone, Debug)]
pub struct Edition {
    /// As markers name it.
    pub version: &'static str,
    /// In the order of the standard.
    pub statements: Vec<Statement>,
}

impl Edition {
    /// Every version.
    #[must_use]
    pub fn all() -> Vec<Self> {
        [("3.1", "v3.1"), ("3.1.1", "v3.1.1"), ("5", "v5.0")]
            .map(|(version, file)| Self::read(version, file))
            .into()
    }

    fn read(version: &'static str, file: &str) -> Self {
        let path = repository().join(format!("tests/conformance/{file}.tsv"));
        let text = std::fs::read_to_string(&path).expect("a list of statements");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self {
            version,
            statements: lines.map(statement).collect(),
        }
    }

    /// The statement with this number.
    #[must_use]
    pub fn statement(&self, number: &str) -> Option<&Statement> {
        self.statements.iter().find(|s| s.number == number)
    }

    /// Those that bind the server.
    pub fn ours(&self) -> impl Iterator<Item = &Statement> {
        self.statements.iter().filter(|s| s.bound != Bound::Client)
    }

    /// Those that bind the client alone.
    pub fn theirs(&self) -> impl Iterator<Item = &Statement> {
        self.statements.iter().filter(|s| s.bound == Bound::Client)
    }
}

fn statement(line: &str) -> Statement {
    let mut columns = line.split('\t');
    let mut next = || columns.next().unwrap_or_default().to_owned();
    let (number, bound, says, choice) = (next(), next(), next(), next());
    let bound = match &*bound {
        "server" => Bound::Server,
        "both" => Bound::Both,
        "client" => Bound::Client,
        _ => panic!("whom does this bind? {line}"),
    };
    assert!(
        bound == Bound::Client || !says.is_empty(),
        "says nothing: {line}"
    );
    Statement {
        number,
        bound,
        says,
        choice,
    }
}
