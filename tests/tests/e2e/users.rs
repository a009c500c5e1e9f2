//! Users: Secrets given and generated, accounts in force and out of it.

use isthmus_tests::client::Options;
use isthmus_tests::cluster::{SOON, Space, condition};
use isthmus_tests::{Client, eventually};

fn user(name: &str, spec: &str) -> String {
    Space::of_plant("MqttUser", name, spec)
}

fn secret(name: &str, password: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{password: {password}}}\n"
    )
}

fn lets_in(address: &str, username: &str, password: &str) -> bool {
    let id = isthmus_tests::unique("d");
    Client::try_connect(address, &Options::new(&id).account(username, password)).is_ok()
}

#[track_caller]
fn admitted(address: &str, username: &str, password: &str, wanted: bool) {
    eventually(&format!("{username} is let in: {wanted}"), SOON, || {
        (lets_in(address, username, password) == wanted).then_some(())
    });
}

#[test]
#[ignore = "make e2e"]
fn a_password_is_generated_and_works() {
    let space = Space::new("generated");
    space.apply(&space.instance("plant", ""));
    space.apply(&user("demo", ""));
    let ready = space.ready("mqttu", "demo");
    assert_eq!(ready["status"]["secretName"], "demo-mqtt");
    assert_eq!(space.secret("demo-mqtt", "username"), "demo");
    let password = space.secret("demo-mqtt", "password");
    assert!(space.secret("demo-mqtt", "uri").starts_with("mqtt://demo:"));
    space.ready("mqtti", "plant");
    admitted(&space.address("plant"), "demo", &password, true);
    assert!(!lets_in(&space.address("plant"), "demo", "wrong"));
}

#[test]
#[ignore = "make e2e"]
fn a_changed_secret_is_a_changed_password() {
    let space = Space::new("rotated");
    space.apply(&space.instance("plant", ""));
    space.apply(&secret("mine", "one"));
    space.apply(&user("demo", "passwordSecretRef: {name: mine}"));
    space.ready("mqttu", "demo");
    space.ready("mqtti", "plant");
    let address = space.address("plant");
    admitted(&address, "demo", "one", true);
    space.apply(&secret("mine", "two"));
    admitted(&address, "demo", "two", true);
    assert!(!lets_in(&address, "demo", "one"));
}

#[test]
#[ignore = "make e2e"]
fn a_disabled_user_and_a_deleted_one_are_refused() {
    let space = Space::new("disabled");
    space.apply(&space.instance("plant", ""));
    space.apply(&secret("mine", "pw"));
    let spec = "passwordSecretRef: {name: mine}";
    space.apply(&user("demo", spec));
    space.ready("mqttu", "demo");
    space.ready("mqtti", "plant");
    let address = space.address("plant");
    admitted(&address, "demo", "pw", true);
    space.apply(&user("demo", &format!("{spec}, enabled: false")));
    admitted(&address, "demo", "pw", false);
    space.apply(&user("demo", spec));
    admitted(&address, "demo", "pw", true);
    space.kubectl(&["delete", "mqttu", "demo", "--timeout", "30s"]);
    admitted(&address, "demo", "pw", false);
}

#[test]
#[ignore = "make e2e"]
fn a_foreign_secret_is_never_overwritten() {
    let space = Space::new("foreign");
    space.stopped("plant");
    space.apply(&secret("demo-mqtt", "theirs"));
    space.apply(&user("demo", ""));
    let said = space.refused("mqttu", "demo", "SecretConflict");
    assert!(said.contains("spec.passwordSecretRef"), "{said}");
    assert_eq!(space.secret("demo-mqtt", "password"), "theirs");
    space.kubectl(&["delete", "mqttu", "demo", "--timeout", "30s"]);
    assert_eq!(space.secret("demo-mqtt", "password"), "theirs");
}

#[test]
#[ignore = "make e2e"]
fn a_generated_secret_goes_with_its_user() {
    let space = Space::new("owned");
    space.stopped("plant");
    space.apply(&user("demo", ""));
    space.ready("mqttu", "demo");
    space.kubectl(&["delete", "mqttu", "demo", "--timeout", "30s"]);
    eventually("the Secret is gone", SOON, || {
        let left = space.kubectl(&["get", "secrets", "--output", "name"]);
        (!left.contains("demo-mqtt")).then_some(())
    });
}

#[test]
#[ignore = "make e2e"]
fn a_missing_secret_is_named_and_taken_when_it_comes() {
    let space = Space::new("missing");
    space.stopped("plant");
    space.apply(&user("demo", "passwordSecretRef: {name: later, key: pw}"));
    let said = space.refused("mqttu", "demo", "SecretNotFound");
    assert!(said.contains("later") && said.contains("pw"), "{said}");
    space.apply(&secret("later", "x"));
    eventually("the missing key is said", SOON, || {
        let object = space.get("mqttu", "demo");
        condition(&object, "Ready", "message")
            .contains("no key")
            .then_some(())
    });
    space.apply("apiVersion: v1\nkind: Secret\nmetadata: {name: later}\nstringData: {pw: x}\n");
    space.ready("mqttu", "demo");
}

#[test]
#[ignore = "make e2e"]
fn of_two_users_with_one_username_the_oldest_has_it() {
    let space = Space::new("taken");
    space.stopped("plant");
    space.apply(&user("first", "username: same"));
    space.ready("mqttu", "first");
    space.apply(&user("second", "username: same"));
    let said = space.refused("mqttu", "second", "UsernameTaken");
    assert!(said.contains("first"), "{said}");
}

#[test]
#[ignore = "make e2e"]
fn a_user_without_its_instance_waits() {
    let space = Space::new("alone");
    space.apply(&user("demo", ""));
    space.refused("mqttu", "demo", "InstanceNotFound");
    space.stopped("plant");
    space.ready("mqttu", "demo");
}

#[test]
#[ignore = "make e2e"]
fn a_suspended_user_stays_as_it_is() {
    let space = Space::new("paused");
    space.stopped("plant");
    space.apply(&user("demo", "suspend: true"));
    space.refused("mqttu", "demo", "Suspended");
    let secrets = space.kubectl(&["get", "secrets", "--output", "name"]);
    assert!(!secrets.contains("demo-mqtt"), "{secrets}");
}

#[test]
#[ignore = "make e2e"]
fn rules_take_effect_at_once() {
    let space = Space::new("rules");
    space.apply(&space.instance("plant", ""));
    space.apply(&secret("mine", "pw"));
    let rule = |topic: &str| {
        let acl = format!("acl: [{{topic: \"{topic}\", action: pubsub}}]");
        user("demo", &format!("passwordSecretRef: {{name: mine}}, {acl}"))
    };
    space.apply(&rule("a/#"));
    let ready = space.ready("mqttu", "demo");
    assert_eq!(ready["status"]["aclRules"], 1);
    space.ready("mqtti", "plant");
    let address = space.address("plant");
    admitted(&address, "demo", "pw", true);
    let options = Options::new("rules").account("demo", "pw");
    let mut client = Client::connect(&address, &options);
    let filter = |filter| {
        [isthmus_tests::client::Filter::new(
            filter,
            isthmus_mqtt::QoS::AtMostOnce,
        )]
    };
    assert!(client.subscribe_with(None, &filter("b/x"))[0] >= 0x80);
    space.apply(&rule("b/#"));
    eventually("the new rule counts", SOON, || {
        (client.subscribe_with(None, &filter("b/x"))[0] < 0x80).then_some(())
    });
}
