use super::*;

fn kinds(routes: &Routes, name: &str) -> SlotKinds {
    let mut hits = Hits::default();
    routes.matches(name, &mut hits);
    hits.slots
}

#[test]
fn what_the_log_still_brings_does_not_undo_what_a_link_has_said() {
    let mut routes = Routes::default();
    routes.linked(1, "a", Kinds::LIVE, 7, (100, None));
    routes.linked(1, "a", Kinds::default(), 8, (100, None));
    routes.linked(1, "a", Kinds::DURABLE, 9, (100, None));
    routes.logged(1, "a", Kinds::LIVE, 7);
    routes.logged(1, "a", Kinds::default(), 8);
    assert_eq!(kinds(&routes, "a"), [(1, Kinds::DURABLE)]);
    routes.logged(1, "a", Kinds::DURABLE, 9);
    routes.linked(1, "a", Kinds::default(), 10, (100, None));
    routes.logged(1, "a", Kinds::DURABLE, 9);
    assert_eq!(kinds(&routes, "a"), []);
    assert_eq!(routes.filters_of(1).count(), 0);
    routes.logged(1, "a", Kinds::default(), 10);
    routes.logged(1, "a", Kinds::LIVE, 11);
    assert_eq!(kinds(&routes, "a"), [(1, Kinds::LIVE)]);
    assert_eq!(routes.highest(1), 11);
}

#[test]
fn a_new_owner_voids_what_only_the_link_of_the_last_one_has_said() {
    let mut routes = Routes::default();
    routes.linked(1, "said", Kinds::LIVE, 5, (100, Some(2)));
    routes.linked(1, "new", Kinds::LIVE, 9, (200, Some(3)));
    routes.logged(1, "logged", Kinds::LIVE, 4);
    routes.owned(1, 8, 200, Some(3));
    assert_eq!(routes.peer_of(1), Some(3));
    assert_eq!(kinds(&routes, "said"), []);
    assert_eq!(kinds(&routes, "new"), [(1, Kinds::LIVE)]);
    assert_eq!(kinds(&routes, "logged"), [(1, Kinds::LIVE)]);
    routes.owned(1, 10, 300, None);
    assert_eq!(routes.peer_of(1), None);
}

#[test]
fn an_owner_that_the_log_names_late_undoes_nothing() {
    let mut routes = Routes::default();
    routes.linked(1, "a", Kinds::LIVE, 9, (200, Some(3)));
    assert_eq!(routes.peer_of(1), Some(3), "who says it has it");
    routes.owned(1, 4, 100, Some(2));
    assert_eq!(kinds(&routes, "a"), [(1, Kinds::LIVE)]);
    assert_eq!(routes.peer_of(1), Some(3));
    routes.owned(1, 8, 200, Some(3));
    routes.linked(1, "b", Kinds::LIVE, 7, (100, Some(2)));
    assert_eq!(kinds(&routes, "b"), [], "a late word of the last owner");
    routes.claim(1, 0, 300);
    routes.owned(1, 8, 200, Some(3));
    assert_eq!(
        routes.peer_of(1),
        None,
        "ours, whatever the log still brings"
    );
}

/// Else a client here would wait for a slot that the last owner serves, which went on from memory.
#[test]
fn a_claim_that_came_to_nothing_leaves_the_last_owner() {
    let mut routes = Routes::default();
    routes.owned(1, 8, 200, Some(3));
    routes.claim(1, 100, 300);
    assert_eq!(routes.peer_of(1), None);
    routes.unclaim(1);
    assert_eq!(routes.peer_of(1), Some(3));
    routes.linked(1, "a", Kinds::LIVE, 9, (200, Some(3)));
    assert_eq!(kinds(&routes, "a"), [(1, Kinds::LIVE)]);
    routes.claim(1, 100, 300);
    routes.owned(1, 20, 400, Some(2));
    routes.unclaim(1);
    assert_eq!(routes.peer_of(1), Some(2), "the log was behind");
    routes.claim(1, 100, 300);
    routes.owned(1, routes.highest(1), 300, None);
    routes.unclaim(1);
    assert_eq!(routes.peer_of(1), None, "the log has named this pod");
}

#[test]
fn each_slot_comes_once_with_all_its_kinds() {
    let mut routes = Routes::default();
    routes.set(3, "a/+", Kinds::LIVE);
    routes.set(3, "a/b", Kinds::DURABLE);
    routes.set(1, "#", Kinds::LIVE);
    routes.set(2, "$share/g/a/#", Kinds::DURABLE);
    let mut hits = Hits::default();
    routes.matches("a/b", &mut hits);
    hits.slots.sort_unstable_by_key(|(s, _)| *s);
    assert_eq!(
        hits.slots,
        [(1, Kinds::LIVE), (3, Kinds::LIVE | Kinds::DURABLE)]
    );
    assert_eq!(hits.shared.len(), 1);
    routes.set(3, "a/b", Kinds::default());
    routes.set(2, "$share/g/a/#", Kinds::default());
    routes.matches("a/b", &mut hits);
    assert_eq!(
        hits.slots.iter().find(|(s, _)| *s == 3),
        Some(&(3, Kinds::LIVE))
    );
    assert!(hits.shared.is_empty());
    assert!(routes.filters_of(3).eq([("a/+", Kinds::LIVE)]));
}
