//! Section 3.3 and ruling 11: a record whose `mqttTopic` is a filter.

use isthmus_tests::client::Filter;
use isthmus_tests::{Client, Options, QoS, unique};

use crate::downlink::{record, send};
use crate::{client, client5};

/// Sends a record to a filter and one to a sure topic behind it; gives what came before that one.
fn delivered(device: &mut Client, filter: &str) -> Vec<String> {
    let mark = unique("mark");
    device.subscribe(&mark, QoS::AtLeastOnce);
    send(record("x").key(&mark).header("mqttTopic", filter));
    send(record(mark.clone()).key(&mark).header("mqttTopic", &mark));
    device
        .messages_before(&mark)
        .into_iter()
        .map(|message| message.topic)
        .collect()
}

/// Ruling 11, each sentence a row: subscription, record's filter, delivered topic.
#[test]
fn the_delivered_name_is_the_meeting_of_both_filters() {
    let rows: &[(&str, &str, Option<&str>)] = &[
        // `+` and literal give the literal.
        ("r/a/b", "r/+/b", Some("r/a/b")),
        ("r/+/b", "r/a/+", Some("r/a/b")),
        ("r/a/b", "r/+/+", Some("r/a/b")),
        // `+` and `+` skip.
        ("r/+", "r/+", None),
        ("r/+/b", "r/+/b", None),
        // `#` and the rest give the rest, a final `#` dropped.
        ("r/a/b/#", "r/#", Some("r/a/b")),
        ("r/#", "r/a/b/#", Some("r/a/b")),
        ("r/#", "r/#", Some("r")),
        ("r/a", "r/a/#", Some("r/a")),
        ("r/a/b/c", "r/#", Some("r/a/b/c")),
        ("r/a/#", "r/+/c/#", Some("r/a/c")),
        // A leftover `+` or an empty name skips.
        ("r/+/#", "r/#", None),
        ("r/a/+", "r/#", None),
        // No overlap.
        ("r/a", "r/+/b", None),
        ("r/a", "s/+", None),
        ("r", "r/+", None),
        // An empty level is a level.
        ("r//b", "r/+/b", Some("r//b")),
        ("r/", "r/+", Some("r/")),
    ];
    for (subscription, filter, expected) in rows {
        // A first level of its own for each row, so that no other test's subscription overlaps.
        let stem = unique("f");
        let place = |text: &str| match text.split_once('/') {
            None => format!("{stem}{text}"),
            Some((first, rest)) => format!("{stem}{first}/{rest}"),
        };
        let mut device = client(&unique("dev"));
        device.subscribe(&place(subscription), QoS::AtLeastOnce);
        let expected: Vec<String> = expected.iter().map(|name| place(name)).collect();
        assert_eq!(
            delivered(&mut device, &place(filter)),
            expected,
            "{subscription} meets {filter}"
        );
    }
}

/// 3.2: without wildcards it is an ordinary publish.
#[test]
fn a_record_without_wildcards_reaches_every_matching_subscription() {
    let stem = unique("f");
    let mut devices: Vec<Client> = [
        format!("{stem}/a"),
        format!("{stem}/+"),
        format!("{stem}/#"),
        "+/a".to_owned(),
    ]
    .iter()
    .map(|filter| {
        let mut device = client(&unique("dev"));
        device.subscribe(filter, QoS::AtLeastOnce);
        device
    })
    .collect();
    send(record("x").header("mqttTopic", format!("{stem}/a")));
    for device in &mut devices {
        let message = device.pick(isthmus_tests::SOON, |event| match event {
            isthmus_tests::client::Event::Message(message) if message.topic.starts_with(&stem) => {
                Some(message.clone())
            }
            _ => None,
        });
        assert_eq!(message.expect("the record").topic, format!("{stem}/a"));
    }
}

/// Ruling 11: one delivery a session, the highest QoS, then the bytewise least filter.
#[test]
fn several_overlapping_subscriptions_of_a_session_give_one_delivery() {
    let stem = unique("f");
    let mut device = client5(&unique("dev"));
    for (id, filter, qos) in [
        (1, format!("{stem}/c"), QoS::AtLeastOnce),
        (2, format!("{stem}/b"), QoS::ExactlyOnce),
        (3, format!("{stem}/a"), QoS::ExactlyOnce),
        (4, format!("{stem}/0"), QoS::AtMostOnce),
    ] {
        device.subscribe_with(Some(id), &[Filter::new(&filter, qos)]);
    }
    send(
        record("x")
            .key(&stem)
            .header("mqttTopic", format!("{stem}/+"))
            .header("qosLevel", "2"),
    );
    send(
        record("end")
            .key(&stem)
            .header("mqttTopic", format!("{stem}/c")),
    );
    let messages = device.messages_before("end");
    assert_eq!(messages.len(), 1, "{messages:?}");
    let message = &messages[0];
    assert_eq!(
        (message.topic.as_str(), message.qos),
        (format!("{stem}/a").as_str(), QoS::ExactlyOnce)
    );
    assert_eq!(message.subscription_ids, [3]);
}

/// Ruling 11: a wildcard at the first level never meets `$`.
#[test]
fn a_wildcard_at_the_first_level_never_meets_a_dollar() {
    let stem = unique("f");
    let mut device = client(&unique("dev"));
    device.subscribe(&format!("$x/{stem}"), QoS::AtLeastOnce);
    assert_eq!(
        delivered(&mut device, &format!("+/{stem}")),
        [] as [&str; 0]
    );
    assert_eq!(
        delivered(&mut device, &format!("$x/{stem}")),
        [format!("$x/{stem}")]
    );
    assert_eq!(
        delivered(&mut device, &format!("$x/{stem}/#")),
        [format!("$x/{stem}")]
    );
}

/// Ruling 11: a `$share` group counts as one session.
#[test]
fn a_shared_group_counts_as_one_session() {
    let stem = unique("f");
    let mut members: Vec<Client> = (0..3).map(|_| client(&unique("dev"))).collect();
    for member in &mut members {
        member.subscribe(&format!("$share/{stem}/{stem}/a"), QoS::AtLeastOnce);
    }
    for n in 0..12 {
        send(
            record(n.to_string())
                .key(&stem)
                .header("mqttTopic", format!("{stem}/+")),
        );
    }
    // Every member asks for a sure message behind them.
    let mut all = Vec::new();
    for member in &mut members {
        let mark = unique("mark");
        member.subscribe(&mark, QoS::AtLeastOnce);
        send(record(mark.clone()).key(&stem).header("mqttTopic", &mark));
        all.extend(
            member
                .messages_before(&mark)
                .into_iter()
                .map(|m| (m.topic.clone(), m.text().parse::<u32>().unwrap())),
        );
    }
    all.sort_unstable();
    let expected: Vec<_> = (0..12).map(|n| (format!("{stem}/a"), n)).collect();
    assert_eq!(all, expected);
}

/// 3.3 with 3.1: a filter's message waits for an offline persistent session too.
#[test]
fn a_filter_reaches_offline_persistent_sessions() {
    let stem = unique("f");
    let options = Options::new(&unique("dev")).persistent();
    let address = crate::shared().address();
    let mut device = Client::connect(&address, &options);
    device.subscribe(&format!("{stem}/dev/7"), QoS::AtLeastOnce);
    device.disconnect();
    send(
        record("to all")
            .key(&stem)
            .header("mqttTopic", format!("{stem}/dev/+")),
    );
    let message = Client::connect(&address, &options).message();
    assert_eq!(
        (message.topic.as_str(), message.text()),
        (format!("{stem}/dev/7").as_str(), "to all")
    );
}
