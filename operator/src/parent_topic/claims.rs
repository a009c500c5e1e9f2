//! Whose a Kafka topic is, when several resources name it: the oldest one's. Pure.

use crate::control::age::Age;

/// A resource that names a Kafka topic: a parent topic, or an instance with its system topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// `ParentTopic namespace/name`.
    pub resource: String,
    /// The lesser one is the older.
    pub age: Age,
    /// The Kafka cluster, as far as it is known, and the instance's `namespace/name`.
    pub cluster: Option<String>,
    /// See `cluster`.
    pub instance: String,
    /// The topic, prefix included.
    pub topic: String,
    /// It is being deleted, and its topic is to go with it.
    pub leaving: bool,
}

/// Why a claim does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// An older resource names the same topic.
    Claimed(String),
    /// Kafka takes `.` and `_` for the same, and an older resource has the other name.
    Collides(String, String),
}

impl Claim {
    fn is_beside(&self, other: &Self) -> bool {
        let same = other.cluster.is_some() && other.cluster == self.cluster;
        other.resource != self.resource && (same || other.instance == self.instance)
    }
}

/// Topics that Kafka does not take beside each other have the same of these.
#[must_use]
pub fn folded(topic: &str) -> String {
    topic.replace('.', "_")
}

/// Another resource that names the same topic, however old, and does not want it gone as well.
#[must_use]
pub fn also<'a>(mine: &Claim, others: impl IntoIterator<Item = &'a Claim>) -> Option<&'a str> {
    let mut others = others.into_iter();
    let same = |other: &Claim| mine.is_beside(other) && other.topic == mine.topic;
    let other = others.find(|other| same(other) && !other.leaving)?;
    Some(&other.resource)
}

/// Whether an older claim is in the way of this one.
#[must_use]
pub fn contest<'a>(mine: &Claim, others: impl IntoIterator<Item = &'a Claim>) -> Option<Lost> {
    let in_the_way = others
        .into_iter()
        .filter(|other| mine.is_beside(other) && other.age < mine.age)
        .filter(|other| folded(&other.topic) == folded(&mine.topic))
        .min_by_key(|other| (other.topic != mine.topic, &other.age))?;
    Some(match in_the_way.topic == mine.topic {
        true => Lost::Claimed(in_the_way.resource.clone()),
        false => Lost::Collides(in_the_way.resource.clone(), in_the_way.topic.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(resource: &str, age: i64, instance: &str, topic: &str) -> Claim {
        Claim {
            resource: resource.to_owned(),
            age: Age::at(age, resource),
            cluster: Some("c".to_owned()),
            instance: instance.to_owned(),
            topic: topic.to_owned(),
            leaving: false,
        }
    }

    #[test]
    fn the_oldest_has_the_topic() {
        let (old, new) = (claim("a/old", 1, "a/x", "t"), claim("b/new", 2, "b/y", "t"));
        assert_eq!(contest(&old, [&new, &old]), None);
        let lost = contest(&new, [&old, &new]);
        assert_eq!(lost, Some(Lost::Claimed("a/old".to_owned())));
    }

    #[test]
    fn of_the_same_second_the_lesser_uid_has_it() {
        let (one, two) = (claim("a/1", 1, "a/x", "t"), claim("a/2", 1, "a/x", "t"));
        assert_eq!(contest(&one, [&two]), None);
        assert!(contest(&two, [&one]).is_some());
    }

    #[test]
    fn other_clusters_are_another_matter() {
        let mut other = claim("a/old", 1, "a/x", "t");
        other.cluster = Some("d".to_owned());
        assert_eq!(contest(&claim("b/new", 2, "b/y", "t"), [&other]), None);
        assert_eq!(also(&claim("b/new", 2, "b/y", "t"), [&other]), None);
    }

    #[test]
    fn whoever_else_names_a_topic_is_found_before_it_is_deleted() {
        let (old, new) = (claim("a/old", 1, "a/x", "t"), claim("b/new", 2, "b/y", "t"));
        assert_eq!(also(&old, [&old, &new]), Some("b/new"));
        assert_eq!(also(&new, [&new, &old]), Some("a/old"));
        let near = claim("b/new", 2, "a/x", "t_");
        assert_eq!(also(&old, [&old, &near]), None);
        let mut gone = claim("c/gone", 3, "a/x", "t");
        gone.leaving = true;
        assert_eq!(also(&old, [&old, &gone]), None);
    }

    #[test]
    fn dots_and_underscores_collide() {
        let (old, new) = (claim("a/1", 1, "a/x", "a.b"), claim("a/2", 2, "a/x", "a_b"));
        let lost = Some(Lost::Collides("a/1".to_owned(), "a.b".to_owned()));
        assert_eq!(contest(&new, [&old]), lost);
    }
}
