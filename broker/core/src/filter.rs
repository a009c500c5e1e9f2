//! Topic Filters: a tree that finds the filters matching a Topic Name, and the meeting of two
//! filters (ruling 11).
//!
//! Filters without wildcards live in a hash table, so that a tree is walked for wildcards only.

use rustc_hash::FxHashMap;

/// Values by Topic Filter.
#[derive(Debug)]
pub struct FilterTree<T> {
    literal: FxHashMap<Box<str>, T>,
    wild: Node<T>,
    wild_len: usize,
}

#[derive(Debug)]
struct Node<T> {
    children: FxHashMap<Box<str>, Node<T>>,
    plus: Option<Box<Node<T>>>,
    /// The value of `…/#`.
    hash: Option<(Box<str>, T)>,
    /// The value of the filter that ends here.
    here: Option<(Box<str>, T)>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            children: FxHashMap::default(),
            plus: None,
            hash: None,
            here: None,
        }
    }
}

impl<T> Default for FilterTree<T> {
    fn default() -> Self {
        Self {
            literal: FxHashMap::default(),
            wild: Node::default(),
            wild_len: 0,
        }
    }
}

/// Whether a filter has a wildcard; `+` and `#` are legal nowhere else.
#[must_use]
pub fn has_wildcard(filter: &str) -> bool {
    filter.bytes().any(|b| b == b'+' || b == b'#')
}

impl<T> FilterTree<T> {
    /// Number of filters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.literal.len() + self.wild_len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a filter, to read.
    #[must_use]
    pub fn get(&self, filter: &str) -> Option<&T> {
        if !has_wildcard(filter) {
            return self.literal.get(filter);
        }
        let mut node = &self.wild;
        for level in filter.split('/') {
            node = match level {
                "#" => return node.hash.as_ref().map(|(_, value)| value),
                "+" => node.plus.as_deref()?,
                _ => node.children.get(level)?,
            };
        }
        node.here.as_ref().map(|(_, value)| value)
    }

    /// The value of a filter, made if it is new.
    pub fn entry(&mut self, filter: &str, make: impl FnOnce() -> T) -> &mut T {
        if !has_wildcard(filter) {
            return self.literal.entry(filter.into()).or_insert_with(make);
        }
        let mut node = &mut self.wild;
        let mut at_hash = false;
        for level in filter.split('/') {
            match level {
                "#" => {
                    at_hash = true;
                    break;
                }
                "+" => node = node.plus.get_or_insert_default(),
                _ => node = node.children.entry(level.into()).or_default(),
            }
        }
        let place = if at_hash {
            &mut node.hash
        } else {
            &mut node.here
        };
        if place.is_none() {
            self.wild_len += 1;
        }
        &mut place.get_or_insert_with(|| (filter.into(), make())).1
    }

    /// Takes a filter out, with the branches that only it used.
    pub fn remove(&mut self, filter: &str) -> Option<T> {
        if !has_wildcard(filter) {
            return self.literal.remove(filter);
        }
        let levels: Vec<&str> = filter.split('/').collect();
        let removed = remove_at(&mut self.wild, &levels);
        if removed.is_some() {
            self.wild_len -= 1;
        }
        removed
    }

    /// Calls `found` with every value whose filter matches a Topic Name [MQTT-4.7.2-1].
    pub fn matches<'a>(&'a self, name: &str, found: &mut impl FnMut(&'a T)) {
        if let Some(value) = self.literal.get(name) {
            found(value);
        }
        if self.wild_len > 0 {
            match_at(&self.wild, Some(name), !name.starts_with('$'), found);
        }
    }

    /// Calls `found` with every filter and its value.
    pub fn for_each<'a>(&'a self, found: &mut impl FnMut(&'a str, &'a T)) {
        for (filter, value) in &self.literal {
            found(filter, value);
        }
        each_at(&self.wild, found);
    }
}

fn remove_at<T>(node: &mut Node<T>, levels: &[&str]) -> Option<T> {
    let (level, rest) = match levels.split_first() {
        None => return node.here.take().map(|(_, value)| value),
        Some((&"#", _)) => return node.hash.take().map(|(_, value)| value),
        Some(split) => split,
    };
    if *level == "+" {
        let child = node.plus.as_deref_mut()?;
        let removed = remove_at(child, rest);
        if child.is_bare() {
            node.plus = None;
        }
        return removed;
    }
    let child = node.children.get_mut(*level)?;
    let removed = remove_at(child, rest);
    if child.is_bare() {
        node.children.remove(*level);
    }
    removed
}

impl<T> Node<T> {
    fn is_bare(&self) -> bool {
        self.children.is_empty()
            && self.plus.is_none()
            && self.hash.is_none()
            && self.here.is_none()
    }
}

fn match_at<'a, T>(
    node: &'a Node<T>,
    name: Option<&str>,
    wild: bool,
    found: &mut impl FnMut(&'a T),
) {
    if wild && let Some((_, value)) = &node.hash {
        found(value);
    }
    let Some(name) = name else {
        if let Some((_, value)) = &node.here {
            found(value);
        }
        return;
    };
    let (level, rest) = match name.split_once('/') {
        Some((level, rest)) => (level, Some(rest)),
        None => (name, None),
    };
    if let Some(child) = node.children.get(level) {
        match_at(child, rest, true, found);
    }
    if wild && let Some(child) = &node.plus {
        match_at(child, rest, true, found);
    }
}

fn each_at<'a, T>(node: &'a Node<T>, found: &mut impl FnMut(&'a str, &'a T)) {
    for (filter, value) in node.hash.iter().chain(&node.here) {
        found(filter, value);
    }
    for child in node.children.values().chain(node.plus.as_deref()) {
        each_at(child, found);
    }
}

/// What two Topic Filters have in common.
#[derive(Debug, PartialEq, Eq)]
pub enum Meet {
    /// No Topic Name matches both.
    Apart,
    /// They overlap, but leave a `+` or an empty name.
    Undecided,
    /// The Topic Name under which a message for one is delivered to the other.
    Name(String),
}

/// The level-by-level meeting of two filters, taking the literal side (ruling 11).
#[must_use]
pub fn meet(a: &str, b: &str) -> Meet {
    let wild = |f: &str| f.starts_with(['+', '#']);
    if (wild(a) && b.starts_with('$')) || (wild(b) && a.starts_with('$')) {
        return Meet::Apart;
    }
    let mut name: Vec<&str> = Vec::new();
    let mut undecided = false;
    let (mut left, mut right) = (a.split('/'), b.split('/'));
    loop {
        let (level, rest) = match (left.next(), right.next()) {
            (None, None) => break,
            (Some("#"), other) => (other, Some(&mut right)),
            (other, Some("#")) => (other, Some(&mut left)),
            (Some("+"), Some(level)) | (Some(level), Some("+")) => (Some(level), None),
            (Some(x), Some(y)) if x == y => (Some(x), None),
            _ => return Meet::Apart,
        };
        for level in level.into_iter().chain(rest.into_iter().flatten()) {
            match level {
                "#" => {}
                "+" => undecided = true,
                _ => name.push(level),
            }
        }
    }
    let name = name.join("/");
    if undecided || name.is_empty() {
        Meet::Undecided
    } else {
        Meet::Name(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ruling_11() {
        for (a, b, name) in [
            ("a/+", "a/b", Some("a/b")),
            ("+/b", "a/+", Some("a/b")),
            ("a/#", "a/b/#", Some("a/b")),
            ("a/#", "a", Some("a")),
            ("a/#", "a/#", Some("a")),
            ("#", "a/b", Some("a/b")),
            ("#", "#", None),
            ("a/+", "a/+", None),
            ("a/#", "a/+", None),
            ("a/#", "a/+/c", None),
            ("a/+/#", "a/b", Some("a/b")),
        ] {
            let want = name.map_or(Meet::Undecided, |n| Meet::Name(n.to_owned()));
            assert_eq!(meet(a, b), want, "{a} {b}");
            assert_eq!(meet(b, a), want, "{b} {a}");
        }
        for (a, b) in [
            ("a", "b"),
            ("#", "$SYS/x"),
            ("+/x", "$SYS/x"),
            ("a/+", "a"),
            ("a/+/c", "a/b/d"),
        ] {
            assert_eq!(meet(a, b), Meet::Apart, "{a} {b}");
            assert_eq!(meet(b, a), Meet::Apart, "{b} {a}");
        }
    }

    fn level() -> impl Strategy<Value = String> {
        prop_oneof![Just("a"), Just("b"), Just(""), Just("$x")].prop_map(str::to_owned)
    }

    fn name() -> impl Strategy<Value = String> {
        prop::collection::vec(level(), 1..4)
            .prop_map(|levels| levels.join("/"))
            .prop_filter("not empty", |n| !n.is_empty())
    }

    fn filter() -> impl Strategy<Value = String> {
        let part = prop_oneof![3 => level(), 1 => Just("+".to_owned())];
        (prop::collection::vec(part, 0..4), any::<bool>())
            .prop_map(|(mut levels, hash)| {
                if hash {
                    levels.push("#".to_owned());
                }
                levels.join("/")
            })
            .prop_filter("not empty", |f| !f.is_empty())
    }

    proptest! {
        #[test]
        fn the_tree_agrees_with_the_plain_matcher(filters in prop::collection::vec(filter(), 0..12), removed in prop::collection::vec(any::<prop::sample::Index>(), 0..6), name in name()) {
            let mut tree = FilterTree::default();
            let mut model = std::collections::BTreeMap::new();
            for (i, f) in filters.iter().enumerate() {
                *tree.entry(f, || 0) = i;
                model.insert(f.clone(), i);
            }
            for index in removed {
                if filters.is_empty() { break; }
                let f = index.get(&filters);
                prop_assert_eq!(tree.remove(f), model.remove(f));
            }
            prop_assert_eq!(tree.len(), model.len());
            let mut found = Vec::new();
            tree.matches(&name, &mut |value| found.push(*value));
            found.sort_unstable();
            let mut want: Vec<usize> = model.iter().filter(|(f, _)| isthmus_mqtt::topic::matches(f, &name)).map(|(_, v)| *v).collect();
            want.sort_unstable();
            prop_assert_eq!(found, want);
            for f in model.keys() {
                prop_assert!(tree.get(f).is_some());
            }
        }

        #[test]
        fn a_meeting_matches_both(a in filter(), b in filter()) {
            if let Meet::Name(name) = meet(&a, &b) {
                prop_assert!(isthmus_mqtt::topic::matches(&a, &name), "{} {} {}", a, b, name);
                prop_assert!(isthmus_mqtt::topic::matches(&b, &name), "{} {} {}", a, b, name);
            }
        }
    }
}
