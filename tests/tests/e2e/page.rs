//! `docs/operator-tests.md`: the behaviours that these tests show, made from their names.

use std::fmt::Write as _;

use isthmus_tests::parts;

const PARTS: [(&str, &str); 10] = [
    ("topics", "Parent topics"),
    ("users", "Users"),
    ("instances", "Instances"),
    ("traffic", "Under traffic"),
    ("schema", "What the API server takes"),
    ("packaging", "Chart, bundle, examples"),
    ("gitops", "GitOps"),
    ("disturbed", "The operator disturbed"),
    ("outages", "Kubernetes disturbed"),
    ("secured", "A guarded Kafka"),
];

fn page() -> String {
    let mut page = String::from(
        "# What is tested on a real cluster\n\n\
         `make e2e` builds the images, starts Kubernetes with pods and a Kafka that they reach, installs the chart with\n\
         Helm, and runs these tests. `make e2e ARGS='topics::'` runs some. The tests run elsewhere too:\n\n\
         - a cluster of your own: set `KUBECONFIG`; `ISTHMUS_KAFKA_ADDRESS` to an address of this machine that its pods\n  \
           reach; `ISTHMUS_BROKER_IMAGE` and `ISTHMUS_OPERATOR_IMAGE` to images that its nodes can pull (`make images`\n  \
           writes archives, for kind: `kind load image-archive`). This machine must reach the addresses of Services.\n\
         - a cluster that is kept for many runs: cluster/README.md.\n\n\
         This page is made from the tests (`make docs`); a test fails when it is stale.\n",
    );
    let mut count = 0;
    for (file, title) in PARTS.iter().chain(&[("many", "Many")]) {
        let path = parts::repository().join(format!("tests/tests/e2e/{file}.rs"));
        let text = std::fs::read_to_string(path).expect("the tests");
        let _ = write!(page, "\n## {title}\n\n| behaviour | test |\n|---|---|\n");
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if line != "#[test]" {
                continue;
            }
            let name = lines.find_map(|line| line.strip_prefix("fn ")?.split('(').next());
            let name = name.expect("a test's name");
            count += 1;
            let _ = writeln!(page, "| {} | `{file}::{name}` |", name.replace('_', " "));
        }
    }
    let _ = write!(page, "\n{count} behaviours.\n");
    page
}

#[test]
fn the_page_of_behaviours_is_up_to_date() {
    let path = parts::repository().join("docs/operator-tests.md");
    let page = page();
    if std::env::var("ISTHMUS_WRITE").is_ok() {
        std::fs::write(&path, &page).expect("docs/");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/operator-tests.md is stale: see how it is made in {}",
        file!()
    );
}
