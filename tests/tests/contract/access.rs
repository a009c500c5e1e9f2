//! Section 6, first bullet, and ruling 17: who may do what.

use isthmus_mqtt::AckType;
use isthmus_tests::client::{Filter, Outgoing, Refusal};
use isthmus_tests::{Client, Options, QoS, SOON, Spec, User, Version, eventually, kafka, unique};

use crate::EVERY_VERSION;

fn refused(options: &Options) -> u8 {
    match Client::try_connect(&crate::shared().address(), options) {
        Err(Refusal::Code(code)) => code,
        other => panic!(
            "{:?} was not refused by a CONNACK: {other:?}",
            options.username
        ),
    }
}

/// Return code 4 (bad user name or password) of 3.x reads as 0x86 here, 5 (not authorised) as 0x87.
#[test]
fn a_wrong_password_an_unknown_user_and_nobody_are_refused() {
    for version in EVERY_VERSION {
        let options = Options::new(&unique("dev")).version(version);
        for (name, password) in [
            ("device", "wrong"),
            ("device", ""),
            ("nobody", "secret"),
            ("Device", "secret"),
        ] {
            let code = refused(&options.clone().account(name, password));
            assert!(
                matches!(code, 0x86 | 0x87),
                "{name}/{password}: {code:#04x}"
            );
        }
        let code = refused(&options.clone().anonymous());
        assert!(matches!(code, 0x86 | 0x87), "anonymous: {code:#04x}");
        let mut no_password = options;
        no_password.password = None;
        assert!(matches!(refused(&no_password), 0x86 | 0x87));
    }
}

#[test]
fn a_user_may_do_what_the_rules_allow_and_nothing_else() {
    let users = [User::new(
        "limited",
        "pass",
        &[
            ("own/%c/#", "pubsub"),
            ("name/%u", "sub"),
            ("out/+", "pub"),
            ("in/+/x", "sub"),
        ],
    )];
    let mut spec = Spec::new("acl");
    spec.users.extend(users);
    let service = crate::start(kafka::shared(), spec);
    let address = service.address();
    let mut watcher = Client::connect(&address, &Options::new("watcher"));
    watcher.subscribe("#", QoS::AtLeastOnce);
    for version in EVERY_VERSION {
        let options = Options::new("me")
            .version(version)
            .account("limited", "pass");
        let mut device = Client::connect(&address, &options);
        // MQTT 3.1 has no failure code in its SUBACK; 0x80 is what the contract says.
        let no = if version == Version::V5 { 0x87 } else { 0x80 };
        for (filter, expected) in [
            ("own/me/#", 1),
            ("own/me/+/x", 1),
            ("own/me", 1),
            ("own/you/#", no),
            ("own/+/x", no),
            ("own/#", no),
            ("name/limited", 1),
            ("name/other", no),
            ("in/a/x", 1),
            ("in/+/x", 1),
            ("in/#", no),
            ("in/a/y", no),
            ("out/a", no),
            ("#", no),
            ("$share/g/in/a/x", 1),
            ("$share/g/in/a/y", no),
        ] {
            assert_eq!(
                device.subscribe_with(None, &[Filter::new(filter, QoS::AtLeastOnce)]),
                [expected],
                "{filter}"
            );
        }
        // Several filters of one SUBSCRIBE are answered each.
        let several = [
            Filter::new("in/a/x", QoS::ExactlyOnce),
            Filter::new("no", QoS::AtMostOnce),
        ];
        assert_eq!(device.subscribe_with(None, &several), [2, no]);
        for (topic, allowed) in [
            ("own/me/a", true),
            ("out/a", true),
            ("out/a/b", false),
            ("name/limited", false),
            ("in/a/x", false),
            ("x", false),
        ] {
            for qos in crate::EVERY_QOS {
                let code = device.publish(&Outgoing::new(topic, "x").qos(qos));
                let refusal = if version == Version::V5 && qos != QoS::AtMostOnce {
                    0x87
                } else {
                    0
                };
                assert_eq!(
                    code,
                    if allowed { 0 } else { refusal },
                    "{topic} at {qos:?} in {version:?}"
                );
            }
            let marker = unique("marker");
            Client::connect(&address, &Options::new("marker"))
                .publish(&Outgoing::new(&marker, marker.clone()));
            let delivered = watcher
                .messages_before(&marker)
                .iter()
                .filter(|message| message.topic == topic)
                .count();
            assert_eq!(
                delivered,
                if allowed { 3 } else { 0 },
                "{topic} in {version:?}"
            );
        }
    }
}

/// "A refused publish is not delivered and not stored."
#[test]
fn a_refused_publish_is_not_stored() {
    let mut spec = Spec::new("acl");
    spec.users.push(User::new(
        "reader",
        "pass",
        &[("up/#", "sub"), ("up/mine", "pub")],
    ));
    let service = crate::start(kafka::shared(), spec);
    let mut tail = isthmus_tests::Tail::from_now(service.bootstrap(), &service.topic("up"));
    let mut device = Client::connect(
        &service.address(),
        &Options::new("dev").account("reader", "pass"),
    );
    for qos in crate::EVERY_QOS {
        device.publish(&Outgoing::new("up/other", "refused").qos(qos));
    }
    device.publish(&Outgoing::new("up/mine", "allowed"));
    assert_eq!(tail.keyed("dev").json()["payload"], "allowed");
    // Ruling 16: wills obey the ACL.
    for (topic, payload) in [("up/other", "refused will"), ("up/mine", "allowed will")] {
        let options =
            Options::new("dev")
                .account("reader", "pass")
                .will(topic, payload, QoS::AtLeastOnce);
        match Client::try_connect(&service.address(), &options) {
            Ok(client) => client.vanish(),
            Err(refusal) => assert!(topic == "up/other", "{topic}: {refusal:?}"),
        }
    }
    assert_eq!(tail.keyed("dev").json()["payload"], "allowed will");
}

/// Ruling 17: `%u` and `%c` whose value holds a wildcard or a slash match nothing.
#[test]
fn placeholders_with_wildcards_in_their_value_match_nothing() {
    let mut spec = Spec::new("acl");
    spec.users
        .push(User::new("limited", "pass", &[("own/%c", "pubsub")]));
    let service = crate::start(kafka::shared(), spec);
    for id in ["+", "#", "a/b", "+/x"] {
        let options = Options::new(id)
            .version(Version::V5)
            .account("limited", "pass");
        let mut device = Client::connect(&service.address(), &options);
        for filter in ["own/+", "own/#", "own/a/b", "own/x"] {
            assert_eq!(
                device.subscribe_with(None, &[Filter::new(filter, QoS::AtLeastOnce)]),
                [0x87],
                "{id}: {filter}"
            );
        }
    }
}

/// Ruling 17: wildcards exclude `$`, in rules too.
#[test]
fn wildcard_rules_do_not_cover_dollar_topics() {
    let mut device = Client::connect(
        &crate::shared().address(),
        &Options::new(&unique("dev")).version(Version::V5),
    );
    assert_eq!(
        device.publish(&Outgoing::new("$hidden/y", "x")),
        0x87,
        "`#` does not cover `$hidden/y`"
    );
    assert_eq!(
        device.subscribe_with(None, &[Filter::new("$hidden/#", QoS::AtLeastOnce)]),
        [0x87]
    );
}

/// "Changes take effect at once, without reconnecting; a deleted user is disconnected."
#[test]
fn changes_of_users_and_rules_take_effect_at_once() {
    let mut spec = Spec::new("acl");
    spec.users
        .push(User::new("changing", "old", &[("a", "pubsub")]));
    let mut service = crate::start(kafka::shared(), spec);
    let address = service.address();
    let options = Options::new("dev")
        .version(Version::V5)
        .account("changing", "old")
        .persistent();
    let mut device = Client::connect(&address, &options);
    device.subscribe("a", QoS::AtLeastOnce);
    let mut other = Client::connect(&address, &Options::new("other"));

    let rules = |user: &mut User, rules: &[(&str, &str)]| user.acl = User::new("", "", rules).acl;
    service.change(|spec| rules(spec.users.last_mut().unwrap(), &[("b", "pubsub")]));
    eventually("the right to publish to b", SOON, || {
        (device.publish(&Outgoing::new("b", "x")) == 0).then_some(())
    });
    assert_eq!(device.publish(&Outgoing::new("a", "x")), 0x87);
    // Ruling 17: the subscription whose right is gone falls silent …
    other.publish(&Outgoing::new("a", "unseen"));
    // … and speaks again when it returns.
    service.change(|spec| {
        rules(
            spec.users.last_mut().unwrap(),
            &[("a", "sub"), ("b", "pubsub")],
        )
    });
    let heard = eventually("the subscription speaks again", SOON, || {
        other.publish(&Outgoing::new("a", "heard"));
        device.pick(std::time::Duration::from_millis(200), |event| match event {
            isthmus_tests::client::Event::Message(message) => Some(message.text().to_owned()),
            _ => None,
        })
    });
    assert_eq!(heard, "heard");

    service.change(|spec| "new".clone_into(&mut spec.users.last_mut().unwrap().password));
    let mut second = eventually("the new password", SOON, || {
        Client::try_connect(
            &address,
            &Options::new("second")
                .version(Version::V5)
                .account("changing", "new"),
        )
        .ok()
    });
    assert!(
        Client::try_connect(&address, &Options::new("third").account("changing", "old")).is_err()
    );

    service.change(|spec| {
        spec.users.pop();
    });
    assert!(
        second.ended().is_some_and(|code| code >= 0x80),
        "a deleted user is disconnected"
    );
    assert!(
        Client::try_connect(&address, &Options::new("fourth").account("changing", "new")).is_err()
    );
}

/// Anonymous clients, where the instance says so, have the rules of `anonymousAcl`.
#[test]
fn anonymous_clients_are_let_in_where_the_instance_says_so() {
    let spec = Spec::new("anonymous").with(
        "authentication: {allowAnonymous: true, anonymousAcl: [{topic: open/#, action: pubsub}]}",
    );
    let service = crate::start(kafka::shared(), spec);
    let mut guest = Client::connect(
        &service.address(),
        &Options::new("guest").anonymous().version(Version::V5),
    );
    guest.subscribe("open/x", QoS::AtLeastOnce);
    assert_eq!(guest.publish(&Outgoing::new("open/x", "hello")), 0);
    assert_eq!(guest.message().text(), "hello");
    let id = guest.send(&Outgoing::new("closed/x", "no")).unwrap();
    assert_eq!(guest.acknowledged(AckType::PubAck, id), 0x87);
    // A username is an account, and this one has another password.
    let wrong = Options::new("x").account("device", "wrong");
    assert!(matches!(
        Client::try_connect(&service.address(), &wrong),
        Err(Refusal::Code(_))
    ));
}
