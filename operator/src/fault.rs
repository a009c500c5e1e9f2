//! What is wrong with a resource, where, and the way out.
//!
//! Invariant: a validation returns every fault it finds, never only the first.

use std::fmt;

/// One step of a field path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A field of an object.
    Key(String),
    /// An element of a list.
    Index(usize),
}

/// Where a field stands in a resource: `spec.acl[2].topic`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldPath(Vec<Step>);

impl FieldPath {
    /// From a dotted path of plain field names; the empty string is the whole document.
    #[must_use]
    pub fn of(dotted: &str) -> Self {
        Self(
            dotted
                .split('.')
                .filter(|s| !s.is_empty())
                .map(|s| Step::Key(s.to_owned()))
                .collect(),
        )
    }

    /// This path and one field more.
    #[must_use]
    pub fn key(&self, name: impl Into<String>) -> Self {
        self.with(Step::Key(name.into()))
    }

    /// This path and one list element more.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    /// The steps from the root of the document.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if key.contains(['.', '/', ' ']) => write!(f, "[\"{key}\"]")?,
                Step::Key(key) if at == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// One fault of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field.
    pub path: FieldPath,
    /// What is wrong with it and what would be right.
    pub message: String,
}

impl Fault {
    /// A fault at a path.
    pub fn new(path: FieldPath, message: impl Into<String>) -> Self {
        Self {
            path,
            message: message.into(),
        }
    }

    /// A fault at a dotted path of plain field names.
    pub fn at(dotted: &str, message: impl Into<String>) -> Self {
        Self::new(FieldPath::of(dotted), message)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.steps().is_empty() {
            write!(f, "{}", self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// The known name nearest to a misspelt one, when it is near enough to be meant.
#[must_use]
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = unknown.to_lowercase();
    known
        .into_iter()
        .map(|name| (distance(&wanted, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, above) in b.chars().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(x != y))
                .min(left + 1)
                .min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_like_kubernetes_paths() {
        let acl = FieldPath::of("spec.acl").index(2).key("topic");
        assert_eq!(acl.to_string(), "spec.acl[2].topic");
        let config = FieldPath::of("spec.config").key("retention.ms");
        assert_eq!(config.to_string(), "spec.config[\"retention.ms\"]");
    }

    #[test]
    fn a_fault_of_the_whole_document_has_no_path() {
        assert_eq!(Fault::at("", "is empty").to_string(), "is empty");
    }

    #[test]
    fn nearest_finds_what_was_meant_and_nothing_far_away() {
        let known = ["mqtt", "ws", "port", "maxQueuedMessages"];
        assert_eq!(nearest("prot", known), Some("port"));
        assert_eq!(
            nearest("maxqueuedmessage", known),
            Some("maxQueuedMessages")
        );
        assert_eq!(nearest("completely", known), None);
    }
}
