//! Who may do what (contract section 6, ruling 17).

use crate::world::{Filter, Got, Opts, World};
use isthmus_core::acl::Action;
use isthmus_mqtt::Version::{V5, V311};

#[test]
fn a_refused_publish_is_neither_delivered_nor_stored() {
    for qos in [0, 1, 2] {
        let mut w = World::new();
        let (a, b, c) = (w.client("a", V5), w.client("b", V311), w.client("c", V5));
        for client in [a, b, c] {
            w.connect(client, &Opts::durable()).unwrap();
        }
        w.subscribe(c, "#", 2);
        for client in ["a", "b"] {
            w.rights.allow(client, &[("t", Action::PubSub)]);
        }
        w.directory_changed();
        w.got(a);
        w.got(b);
        w.publish(a, "p/x", qos, "x");
        w.publish(b, "p/x", qos, "y");
        let (v5, v3) = match qos {
            0 => (vec![], vec![]),
            1 => (
                vec![Got::Ack("PUBACK", 1, 0x87)],
                vec![Got::Ack("PUBACK", 1, 0)],
            ),
            _ => (
                vec![Got::Ack("PUBREC", 1, 0x87)],
                vec![Got::Ack("PUBREC", 1, 0), Got::Ack("PUBCOMP", 1, 0)],
            ),
        };
        assert_eq!((w.got(a), w.got(b)), (v5, v3));
        assert!(w.payloads(c).is_empty());
        assert!(w.log.payloads("p").is_empty());
    }
}

#[test]
fn a_refused_subscribe_is_said_filter_by_filter() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V311));
    for (client, id, refused) in [(a, "a", 0x87), (b, "b", 0x80)] {
        w.rights.allow(id, &[("t/+", Action::Sub)]);
        w.connect(client, &Opts::durable()).unwrap();
        let filters = [
            Filter::new("t/1", 1),
            Filter::new("t/#", 1),
            Filter::new("x", 0),
        ];
        assert_eq!(
            w.subscribe_to(client, &filters, None),
            [1, refused, refused]
        );
    }
}

#[test]
fn a_revoked_right_silences_the_subscription_and_a_returned_one_lets_it_speak() {
    for opts in [Opts::clean(), Opts::durable()] {
        for filter in ["t", "$share/g/t"] {
            let mut w = World::new();
            let (a, b) = (w.client("a", V5), w.client("b", V5));
            w.connect(a, &opts).unwrap();
            w.connect(b, &Opts::clean()).unwrap();
            w.subscribe(a, filter, 1);
            w.rights.allow("a", &[("other", Action::PubSub)]);
            w.directory_changed();
            for qos in [0, 1, 2] {
                w.publish(b, "t", qos, "silent");
            }
            assert!(w.payloads(a).is_empty(), "{filter}");
            w.rights.allow("a", &[("#", Action::PubSub)]);
            w.directory_changed();
            w.publish(b, "t", 1, "x");
            assert_eq!(w.payloads(a), ["x"], "{filter}");
        }
    }
}

#[test]
fn revoked_rights_stay_revoked_over_a_reconnect_and_a_crash() {
    let mut w = World::new();
    let (a, b) = (w.client("a", V5), w.client("b", V5));
    w.connect(a, &Opts::durable()).unwrap();
    w.subscribe(a, "t", 1);
    w.rights.allow("a", &[]);
    w.directory_changed();
    w.connect(a, &Opts::durable()).unwrap();
    w.connect(b, &Opts::clean()).unwrap();
    w.publish(b, "t", 1, "1");
    w.crash_now();
    w.connect(b, &Opts::clean()).unwrap();
    w.publish(b, "t", 1, "2");
    w.connect(a, &Opts::durable()).unwrap();
    w.publish(b, "t", 1, "3");
    assert!(w.payloads(a).is_empty());
}

#[test]
fn a_deleted_user_is_disconnected() {
    let mut w = World::new();
    let a = w.client("a", V5);
    w.connect(
        a,
        &Opts {
            user: Some("alice"),
            ..Opts::clean()
        },
    )
    .unwrap();
    w.got(a);
    w.rights.deleted_users.insert("alice".to_owned());
    w.directory_changed();
    assert_eq!(w.got(a), [Got::Disconnect(0x98), Got::Closed]);
}
