//! A bounded run of `isthmus-fuzz connections`.

use isthmus_fuzz::{Extent, connections};
use isthmus_tests::kafka;

#[test]
fn mutated_connections_leave_the_broker_and_its_other_clients_as_they_were() {
    let extent = Extent::Count(300);
    let report = connections::run(kafka::shared(), isthmus_tests::seed(), 0, extent);
    // Enough of them get past their CONNECT, and enough have to be closed.
    assert!(report.welcomed() > 100, "{}", report.text());
    assert!(report.closed() > 50, "{}", report.text());
}
