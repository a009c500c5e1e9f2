//! Which test names which statement. Reads sources line by line: a marker stands in the doc comment
//! of a `#[test]` function, with nothing but comments and attributes between them.

use std::path::{Path, PathBuf};

use super::{Edition, Statement};

const MARK: &str = "/// Conformance ";

/// A test that shows a statement.
#[derive(Clone, Debug)]
pub struct Marker {
    /// Version of MQTT.
    pub version: String,
    /// Number of the statement.
    pub number: String,
    /// File of the test, from the root of the checkout.
    pub file: String,
    /// `file#function`
    pub test: String,
}

impl Marker {
    /// Whether it names this statement.
    #[must_use]
    pub fn is_for(&self, edition: &Edition, statement: &Statement) -> bool {
        self.version == edition.version && self.number == statement.number
    }
}

/// The markers below a folder, and those that are wrong.
#[must_use]
pub fn scan(root: &Path) -> (Vec<Marker>, Vec<String>) {
    let (mut markers, mut faults) = (Vec::new(), Vec::new());
    let mut files = Vec::new();
    for part in ["broker", "operator", "tests"] {
        sources(&root.join(part), &mut files);
    }
    files.sort();
    for path in files {
        let text = std::fs::read_to_string(&path).expect("a source");
        let name = path.strip_prefix(root).expect("below the root");
        let name = name.to_str().expect("UTF-8").to_owned();
        let before = markers.len();
        read(&name, &text, &mut markers, &mut faults);
        if markers.len() > before && !is_compiled(&path) {
            faults.push(format!("{name} is no module of a test"));
        }
    }
    (markers, faults)
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Whether a file is a root or a module of the file above it.
fn is_compiled(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let folder = path.parent().expect("a folder");
    if matches!(stem, Some("main" | "lib")) || folder.ends_with("tests") {
        return true;
    }
    let declared = format!("mod {};", stem.unwrap_or_default());
    [
        folder.join("main.rs"),
        folder.join("lib.rs"),
        folder.with_extension("rs"),
    ]
    .iter()
    .filter_map(|above| std::fs::read_to_string(above).ok())
    .any(|text| text.lines().any(|line| line.trim() == declared))
}

fn read(file: &str, text: &str, markers: &mut Vec<Marker>, faults: &mut Vec<String>) {
    let mut named: Vec<(String, String)> = Vec::new();
    let (mut is_test, mut is_skipped) = (false, false);
    for line in text.lines().map(str::trim) {
        if let Some(mark) = line.strip_prefix(MARK) {
            let Some((version, numbers)) = mark.split_once(':') else {
                faults.push(format!("{file}: no version: {line}"));
                continue;
            };
            let numbers = numbers.split(',').map(str::trim);
            named.extend(numbers.map(|number| (version.to_owned(), number.to_owned())));
        } else if line.starts_with("#[") {
            is_test |= line == "#[test]" || line == "#[tokio::test]";
            is_skipped |= line.starts_with("#[ignore") || line.starts_with("#[cfg");
        } else if !line.starts_with("//") {
            let test = function(line).filter(|_| is_test && !is_skipped);
            if test.is_none() && !named.is_empty() {
                faults.push(format!("{file}: a marker stands before no test: {line}"));
            } else if let Some(function) = test {
                for (version, number) in named.drain(..) {
                    let test = format!("{file}#{function}");
                    let file = file.to_owned();
                    markers.push(Marker {
                        version,
                        number,
                        file,
                        test,
                    });
                }
            }
            named.clear();
            (is_test, is_skipped) = (false, false);
        }
    }
}

fn function(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    let name = line.strip_prefix("fn ")?;
    name.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (usize, usize) {
        let (mut markers, mut faults) = (Vec::new(), Vec::new());
        read("a.rs", text, &mut markers, &mut faults);
        (markers.len(), faults.len())
    }

    #[test]
    fn markers_of_tests_are_found_and_all_others_are_faults() {
        let mark = "/// Says so.\n/// Conformance 5: 1.2.3-4, 1.2.3-5\n";
        assert_eq!(found(&format!("{mark}#[test]\nfn a() {{}}")), (2, 0));
        assert_eq!(
            found(&format!(
                "{mark}/// More.\n#[tokio::test]\nasync fn a() {{}}"
            )),
            (2, 0)
        );
        assert_eq!(found(&format!("{mark}fn a() {{}}")), (0, 1));
        assert_eq!(
            found(&format!("{mark}#[test]\n#[ignore]\nfn a() {{}}")),
            (0, 1)
        );
        assert_eq!(found(&format!("{mark}\n#[test]\nfn a() {{}}")), (0, 1));
        assert_eq!(found("/// Conformance\n#[test]\nfn a() {}"), (0, 0));
        assert_eq!(
            found("/// Conformance 5 1.2.3-4\n#[test]\nfn a() {}"),
            (0, 1)
        );
    }
}
