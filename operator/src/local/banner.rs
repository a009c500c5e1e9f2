//! What is printed once the service is up: addresses, and lines to copy into another terminal.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use isthmus_config::{AclRule, Action};

use super::desired::{Desired, DesiredUser, Password};
use crate::instance::build::Placement;

/// The host that clients on this machine use.
#[must_use]
pub fn host(bind: IpAddr) -> String {
    match bind {
        bind if bind.is_loopback() || bind.is_unspecified() => "localhost".to_owned(),
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// Addresses and examples. `kafka` is where clients on this machine reach Kafka.
#[must_use]
pub fn text(desired: &Desired, place: &Placement, kafka: &str, folder: &Path) -> String {
    let instance = &desired.instance;
    let host = host(place.bind);
    let also = |port| also(instance.replicas, place, port);
    let mut text = String::new();
    let mut say = |name: &str, value: String| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {name:<10} {value}");
    };
    if let Some(port) = instance.mqtt {
        let address = format!("mqtt://{host}:{}", place.port(port, 0));
        say("MQTT", address + &also(port));
    }
    if let Some((port, path)) = &instance.ws {
        let address = format!("ws://{host}:{}{path}", place.port(*port, 0));
        say("WebSocket", address + &also(*port));
    }
    say("Kafka", kafka.to_owned());
    let port = instance.monitoring;
    let address = format!("http://{host}:{}/metrics", place.port(port, 0));
    say("Metrics", address + &also(port));
    let logs = match instance.replicas {
        0 | 1 => "broker-0.log".to_owned(),
        several => format!("broker-0.log to broker-{}.log", several - 1),
    };
    say(
        "Data",
        format!("{} (logs: {logs}, kafka.log)", folder.display()),
    );
    let tries = tries(desired, place, &host, kafka);
    format!(
        "\nInstance {}/{} is ready.\n\n{text}\nTry, each in another terminal:\n\n{}\nCtrl-C stops it; the data stays. Changes of the files are followed.\n",
        instance.namespace,
        instance.name,
        tries
            .iter()
            .fold(String::new(), |all, line| format!("{all}  {line}\n"))
    )
}

/// The same port of the other brokers.
fn also(brokers: u16, place: &Placement, port: u16) -> String {
    let ports: Vec<u16> = (1..brokers)
        .map(|broker| place.port(port, broker))
        .collect();
    let list = |ports: &[u16]| {
        ports
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    match ports.as_slice() {
        [] => String::new(),
        [first, second, _, .., last] => format!(" (also {first}, {second}, … {last})"),
        few => format!(" (also {})", list(few)),
    }
}

fn tries(desired: &Desired, place: &Placement, host: &str, kafka: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(parent) = desired.parents.first() {
        lines.push(format!(
            "kcat -b {kafka} -C -t {}",
            quoted(&parent.kafka_topic)
        ));
    }
    let server = match desired.instance.mqtt.map(|port| place.port(port, 0)) {
        None => return lines,
        Some(port) => {
            let host = if host == "localhost" {
                String::new()
            } else {
                format!(" -h {host}")
            };
            let port = if port == 1883 {
                String::new()
            } else {
                format!(" -p {port}")
            };
            format!("{host}{port}")
        }
    };
    let mut downlink = None;
    for user in desired.users.iter().filter(|u| u.valid.enabled) {
        let Password::Given(password) = &user.password else {
            continue;
        };
        let Ok(password) = std::str::from_utf8(password) else {
            continue;
        };
        let name = &user.valid.username;
        let login = |rule: &AclRule| {
            // A rule for %c needs a clientId.
            let client = if rule.topic.contains("%c") {
                format!(" -i {}", quoted(&client(user)))
            } else {
                String::new()
            };
            format!(
                "{server}{client} -u {} -P {}",
                quoted(name),
                quoted(password)
            )
        };
        if let Some(rule) = rule(user, Action::Sub) {
            let filter = quoted(&filled(&rule.topic, user));
            lines.push(format!("mosquitto_sub{} -t {filter} -v", login(rule)));
            downlink.get_or_insert_with(|| example(&filled(&rule.topic, user)));
        }
        if let Some(rule) = rule(user, Action::Pub) {
            let topic = quoted(&example(&filled(&rule.topic, user)));
            lines.push(format!(
                "mosquitto_pub{} -t {topic} -m hello -q 1",
                login(rule)
            ));
        }
    }
    if let Some(topic) = downlink {
        let names = crate::instance::build::names(&desired.instance);
        let queue = quoted(&names.of(isthmus_kafka::names::DOWNLINK));
        let header = quoted(&format!("mqttTopic={topic}"));
        lines.push(format!(
            "echo hello | kcat -b {kafka} -P -t {queue} -H {header}"
        ));
    }
    lines
}

fn rule(user: &DesiredUser, action: Action) -> Option<&AclRule> {
    user.valid
        .acl
        .iter()
        .find(|rule| rule.action == action || rule.action == Action::PubSub)
}

fn client(user: &DesiredUser) -> String {
    format!("{}-1", user.valid.username)
}

fn filled(filter: &str, user: &DesiredUser) -> String {
    filter
        .replace("%u", &user.valid.username)
        .replace("%c", &client(user))
}

/// A topic that a filter covers.
fn example(filter: &str) -> String {
    let level = |level: &str| match level {
        "+" => "a".to_owned(),
        "#" => "a/b/c".to_owned(),
        other => other.to_owned(),
    };
    filter.split('/').map(level).collect::<Vec<_>>().join("/")
}

/// As a shell takes it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::build::{Authority, PEERS_PORT};
    use crate::local::applied::Applied;
    use crate::local::{desired::desired, load::load};

    fn quickstart(place: &Placement, kafka: &str) -> String {
        let file = "../examples/quickstart.yaml"; // cargo runs a test in its package's folder
        let (manifests, problems) = load(&[file.into()]);
        assert!(problems.is_empty(), "{problems:?}");
        let desired = desired(&manifests, &Applied::default(), &[]).unwrap();
        text(&desired, place, kafka, Path::new("data/quickstart"))
    }

    #[test]
    fn the_quickstart_can_be_tried_by_copying() {
        let place = Placement {
            bind: [127, 0, 0, 1].into(),
            port_offset: 0,
            peers_port: PEERS_PORT,
            bootstrap_servers: String::new(),
            authority: Authority::default(),
        };
        assert_eq!(
            quickstart(&place, "localhost:9092"),
            "
Instance default/quickstart is ready.

  MQTT       mqtt://localhost:1883
  WebSocket  ws://localhost:8083/mqtt
  Kafka      localhost:9092
  Metrics    http://localhost:9090/metrics
  Data       data/quickstart (logs: broker-0.log, kafka.log)

Try, each in another terminal:

  kcat -b localhost:9092 -C -t topic-1
  mosquitto_sub -u demo -P demo -t 'topic-1/#' -v
  mosquitto_pub -u demo -P demo -t topic-1/a/b/c -m hello -q 1
  mosquitto_sub -i sensor-1 -u sensor -P sensor -t 'cmd/sensor-1/#' -v
  mosquitto_pub -i sensor-1 -u sensor -P sensor -t topic-1/sensor-1/a/b/c -m hello -q 1
  echo hello | kcat -b localhost:9092 -P -t mq2mqtt -H mqttTopic=topic-1/a/b/c

Ctrl-C stops it; the data stays. Changes of the files are followed.
"
        );
        let shifted = quickstart(
            &Placement {
                port_offset: 1000,
                ..place
            },
            "localhost:10092",
        );
        assert!(
            shifted.contains("mosquitto_sub -p 2883 -u demo"),
            "{shifted}"
        );
        assert!(
            shifted.contains("http://localhost:10090/metrics"),
            "{shifted}"
        );
    }

    #[test]
    fn the_other_brokers_are_named_briefly() {
        let place = Placement {
            bind: [127, 0, 0, 1].into(),
            port_offset: 1000,
            peers_port: PEERS_PORT,
            bootstrap_servers: String::new(),
            authority: Authority::default(),
        };
        assert_eq!(also(1, &place, 1883), "");
        assert_eq!(also(3, &place, 1883), " (also 2893, 2903)");
        assert_eq!(also(10, &place, 1883), " (also 2893, 2903, … 2973)");
    }

    #[test]
    fn shells_take_what_is_printed() {
        assert_eq!(quoted("a/b"), "a/b");
        assert_eq!(quoted("it's #1"), r"'it'\''s #1'");
        assert_eq!(quoted(""), "''");
    }
}
