//! Shared subscriptions (ruling 15).

use crate::world::{Filter, Got, Opts, World};
use isthmus_mqtt::Version::{V5, V311};

/// `n` members of `$share/g/t`, and a publisher.
fn members(w: &mut World, n: usize, opts: &Opts, qos: u8) -> (Vec<usize>, usize) {
    let members: Vec<usize> = (0..n).map(|n| w.client(&format!("m{n}"), V5)).collect();
    for member in &members {
        w.connect(*member, opts).unwrap();
        w.subscribe(*member, "$share/g/t", qos);
        w.got(*member);
    }
    let publisher = w.client("pub", V5);
    w.connect(publisher, &Opts::clean()).unwrap();
    (members, publisher)
}

#[test]
fn members_take_turns() {
    for opts in [Opts::clean(), Opts::durable()] {
        for qos in [0, 1, 2] {
            for n in [2, 3, 4] {
                let mut w = World::new();
                let (members, publisher) = members(&mut w, n, &opts, 2);
                for i in 0..n * 20 {
                    w.publish(publisher, "t", qos, &i.to_string());
                }
                let got: Vec<usize> = members.iter().map(|m| w.payloads(*m).len()).collect();
                assert_eq!(got.iter().sum::<usize>(), n * 20, "each once: {got:?}");
                assert!(got.iter().all(|got| *got >= 5), "qos {qos} of {n}: {got:?}");
            }
        }
    }
}

#[test]
fn two_groups_get_one_each_and_turn_as_well() {
    let mut w = World::new();
    let clients: Vec<usize> = (0..4).map(|n| w.client(&format!("m{n}"), V5)).collect();
    for (n, client) in clients.iter().enumerate() {
        w.connect(*client, &Opts::clean()).unwrap();
        w.subscribe(*client, if n < 2 { "$share/g/t" } else { "$share/h/t" }, 1);
    }
    for n in 0..20 {
        w.publish(clients[0], "t", 1, &n.to_string());
    }
    let got: Vec<usize> = clients.iter().map(|c| w.payloads(*c).len()).collect();
    assert_eq!((got[0] + got[1], got[2] + got[3]), (20, 20), "{got:?}");
    assert!(got.iter().all(|n| *n >= 5), "{got:?}");
}

#[test]
fn online_members_come_first_and_else_one_persistent_member_keeps_it() {
    let mut w = World::new();
    let (members, publisher) = members(&mut w, 3, &Opts::durable(), 1);
    w.disconnect(members[0]);
    w.disconnect(members[1]);
    for n in 0..6 {
        w.publish(publisher, "t", 1, &n.to_string());
    }
    assert_eq!(w.payloads(members[2]).len(), 6);
    w.disconnect(members[2]);
    for n in 6..9 {
        w.publish(publisher, "t", 1, &n.to_string());
    }
    let mut all = Vec::new();
    for member in members {
        w.connect(member, &Opts::durable()).unwrap();
        all.extend(w.payloads(member));
    }
    all.sort();
    assert_eq!(all, ["6", "7", "8"]);
}

#[test]
fn an_offline_member_of_qos0_swallows_nothing() {
    let mut w = World::new();
    let (members, publisher) = members(&mut w, 3, &Opts::durable(), 0);
    w.disconnect(members[0]);
    w.disconnect(members[1]);
    for n in 0..8 {
        w.publish(publisher, "t", n % 2, &n.to_string());
    }
    assert_eq!(w.payloads(members[2]).len(), 8);
}

#[test]
fn what_a_member_leaves_behind_moves_on() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = World::with(2, 4, |_, limits| limits.max_inflight = 2);
        let (members, publisher) = members(&mut w, 1, &opts, 1);
        w.clients[members[0]].answers = false;
        for n in 0..6 {
            w.publish(publisher, "t", 1, &n.to_string());
        }
        assert_eq!(w.payloads(members[0]), ["0", "1"]);
        let next = w.client("next", V5);
        w.connect(next, &opts).unwrap();
        w.subscribe(next, "$share/g/t", 1);
        // The member's session ends for good.
        w.drop_connection(members[0]);
        w.connect(members[0], &Opts::clean()).unwrap();
        w.pass(2);
        let mut got = w.payloads(next);
        got.sort();
        assert_eq!(got, ["0", "1", "2", "3", "4", "5"], "{opts:?}");
    }
}

#[test]
fn what_moves_on_is_read_again_after_a_crash() {
    let mut w = World::new();
    let (members, publisher) = members(&mut w, 1, &Opts::durable(), 1);
    w.drop_connection(members[0]);
    for n in 0..6 {
        w.publish(publisher, "t", 1, &n.to_string());
    }
    let next = w.client("next", V5);
    w.connect(next, &Opts::durable()).unwrap();
    w.subscribe(next, "$share/g/t", 1);
    w.pass(2);
    w.crash_now();
    w.connect(next, &Opts::durable()).unwrap();
    w.connect(members[0], &Opts::clean()).unwrap();
    w.pass(2);
    assert_eq!(w.payloads(next).len(), 6);
    assert_eq!(
        w.shards
            .iter()
            .map(|s| s.counters().inbox_unclaimed)
            .sum::<u64>(),
        0
    );
}

#[test]
fn a_sent_qos2_message_does_not_move_on() {
    let mut w = World::new();
    let (members, publisher) = members(&mut w, 1, &Opts::durable(), 2);
    w.clients[members[0]].answers = false;
    w.publish(publisher, "t", 2, "x");
    assert_eq!(w.payloads(members[0]), ["x"]);
    let next = w.client("next", V5);
    w.connect(next, &Opts::durable()).unwrap();
    w.subscribe(next, "$share/g/t", 2);
    w.connect(members[0], &Opts::clean()).unwrap();
    w.pass(2);
    assert!(w.payloads(next).is_empty());
}

/// [MQTT-3.8.3-4]
#[test]
fn no_local_on_a_shared_subscription_is_a_protocol_error() {
    let mut w = World::new();
    let a = w.client("a", V5);
    w.connect(a, &Opts::clean()).unwrap();
    w.got(a);
    w.start_subscribe(a, &[Filter::new("$share/g/t", 1).no_local()], None);
    w.settle();
    assert_eq!(w.got(a), [Got::Disconnect(0x82), Got::Closed]);
}

#[test]
fn a_record_written_for_a_member_that_has_gone_is_sent_on_and_a_crash_does_not_lose_it() {
    for crash in [false, true] {
        let mut w = World::new();
        let (members, publisher) = members(&mut w, 2, &Opts::durable(), 1);
        w.holds.reads = true;
        for n in 0..6 {
            w.publish(publisher, "t", 1, &n.to_string());
        }
        w.start_connect(members[0], &Opts::clean());
        w.settle();
        w.holds.reads = false;
        w.holds.inboxes = crash;
        w.settle();
        w.pass(2);
        let mut got = w.payloads(members[1]);
        if crash {
            w.crash(|_| false);
            w.holds.inboxes = false;
            w.settle();
            w.connect(members[1], &Opts::durable()).unwrap();
            w.pass(2);
            got.extend(w.payloads(members[1]));
        }
        got.sort();
        got.dedup();
        assert_eq!(got, ["0", "1", "2", "3", "4", "5"], "crash: {crash}");
    }
}

#[test]
fn a_group_works_for_3_1_1_and_beside_a_plain_subscription() {
    let mut w = World::new();
    let a = w.client("a", V311);
    w.connect(a, &Opts::durable()).unwrap();
    w.subscribe(a, "$share/g/t", 1);
    w.subscribe(a, "t", 1);
    w.publish(a, "t", 1, "x");
    assert_eq!(w.payloads(a), ["x", "x"]);
}

/// What comes by a shared subscription has its identifier and no other.
#[test]
fn a_shared_delivery_has_the_identifier_of_its_own_subscription() {
    for opts in [Opts::clean(), Opts::durable()] {
        let mut w = World::new();
        let (a, b) = (w.client("a", V5), w.client("b", V5));
        w.connect(a, &opts).unwrap();
        w.connect(b, &Opts::clean()).unwrap();
        w.subscribe_to(a, &[Filter::new("$share/g/t", 1)], Some(42));
        w.subscribe_to(a, &[Filter::new("t", 1)], Some(7));
        w.publish(b, "t", 1, "x");
        let mut ids: Vec<_> = w
            .published(a)
            .into_iter()
            .map(|p| p.subscription_ids)
            .collect();
        ids.sort();
        assert_eq!(ids, [[7], [42]]);
    }
}

/// The last online member leaves while a message is on its way to it: a persistent one keeps it
/// before it is acknowledged.
#[test]
fn what_finds_no_member_any_more_goes_on_to_one_that_keeps_it() {
    let mut w = World::new();
    let name_at = |w: &World, at: usize, name: &str| {
        let names = (0..).map(|n| format!("{name}{n}"));
        names.into_iter().find(|n| w.shard_for(n) == at).unwrap()
    };
    let names = [name_at(&w, 1, "keeps"), name_at(&w, 0, "leaves")];
    let members = names.map(|name| w.client(&name, V5));
    for (member, opts) in members.iter().zip([Opts::durable(), Opts::clean()]) {
        w.connect(*member, &opts).unwrap();
        w.subscribe(*member, "$share/g/t", 1);
    }
    w.disconnect(members[0]);
    let name = name_at(&w, 1, "pub");
    let publisher = w.client(&name, V5);
    w.connect(publisher, &Opts::clean()).unwrap();
    w.holds.lives = true;
    w.publish(publisher, "t", 1, "kept");
    w.disconnect(members[1]);
    w.holds.inboxes = true;
    w.holds.lives = false;
    w.settle();
    let acknowledged = |w: &mut World| {
        let got = w.got(publisher);
        got.iter().any(|got| matches!(got, Got::Ack("PUBACK", ..)))
    };
    assert!(!acknowledged(&mut w));
    w.holds.inboxes = false;
    w.settle();
    assert!(acknowledged(&mut w));
    w.connect(members[0], &Opts::durable()).unwrap();
    assert_eq!(w.payloads(members[0]), ["kept"]);
}
