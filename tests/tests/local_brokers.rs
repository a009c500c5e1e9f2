//! Local mode with several brokers: each is kept running alone, and their number follows the file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use isthmus_tests::{Client, Options, SOON, Service, Spec, eventually, kafka, run};

#[test]
fn brokers_come_and_go_without_the_others() {
    let mut service = Service::start(kafka::shared(), Spec::new("several").brokers(2));
    let (first, second) = (service.broker_of(0), service.broker_of(1));

    service.kill_broker_of(1);
    let again = service.broker_of(1);
    assert_ne!(again, second);
    service.wait_ready();

    service.change(|spec| spec.brokers = 3);
    service.wait_ready();
    let third = service.broker_of(2);
    Client::connect(&service.address_of(2), &Options::new("device")).disconnect();
    assert_eq!((service.broker_of(0), service.broker_of(1)), (first, again));

    service.change(|spec| spec.brokers = 1);
    eventually("one broker is left", SOON, || {
        let gone = !run::alive(again) && !run::alive(third);
        gone.then_some(())
    });
    assert_eq!(service.broker_of(0), first);
    let said = service.output();
    let at = |line: &str| said.find(line).unwrap_or_else(|| panic!("{line}: {said}"));
    let (higher, lower) = (at("stopping broker-2 "), at("stopping broker-1 "));
    assert!(higher < lower, "the highest number first: {said}");
    service.wait_ready();
    Client::connect(&service.address_of(0), &Options::new("device")).disconnect();

    service.stop();
    assert!(!run::alive(first), "a broker outlived the operator");
}
