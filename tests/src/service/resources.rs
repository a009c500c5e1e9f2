//! The resources of a test's instance, as the YAML that a user writes.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::run;

/// The most brokers that a test's instance may have at any time.
pub const MOST_BROKERS: u16 = 4;

/// An instance with its parents and users.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Name of the instance; also the stem of its topic prefix.
    pub name: String,
    /// Topic prefix.
    pub prefix: String,
    /// Broker processes, at most [`MOST_BROKERS`].
    pub brokers: u16,
    /// Slots.
    pub slots: u16,
    /// What is run as a broker, where it is not the one that was built.
    pub program: Option<PathBuf>,
    /// Port of the first broker's MQTT listener; each further broker has all its ports 10 higher.
    pub mqtt: u16,
    /// Port of the WebSocket listener.
    pub ws: u16,
    /// Port of health and metrics.
    pub monitoring: u16,
    /// Port where the other brokers connect.
    pub peers: u16,
    /// Variables in the environment of operator and brokers.
    pub environment: Vec<(String, String)>,
    /// Further lines of the instance's `spec`, such as `session: {expiry: 1h}`.
    pub extra: Vec<String>,
    /// Parent topics.
    pub parents: Vec<Parent>,
    /// Accounts.
    pub users: Vec<User>,
}

/// A parent topic.
#[derive(Clone, Debug)]
pub struct Parent {
    /// The first level of the MQTT topics, and the Kafka topic.
    pub name: String,
    /// Partitions.
    pub partitions: u32,
    /// Kafka's topic configs, name and value.
    pub config: Vec<(String, String)>,
}

impl Parent {
    /// A parent topic.
    #[must_use]
    pub fn new(name: &str, partitions: u32) -> Self {
        Self {
            name: name.to_owned(),
            partitions,
            config: Vec::new(),
        }
    }

    /// With a Kafka topic config.
    #[must_use]
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.config.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// An account.
#[derive(Clone, Debug)]
pub struct User {
    /// Username.
    pub name: String,
    /// Password.
    pub password: String,
    /// Filter and action of each rule.
    pub acl: Vec<(String, String)>,
}

impl User {
    /// An account with these rules.
    #[must_use]
    pub fn new(name: &str, password: &str, acl: &[(&str, &str)]) -> Self {
        let acl = acl
            .iter()
            .map(|(filter, action)| ((*filter).to_owned(), (*action).to_owned()));
        Self {
            name: name.to_owned(),
            password: password.to_owned(),
            acl: acl.collect(),
        }
    }
}

impl Spec {
    /// An instance with names and ports of its own, the account `device`/`secret`, who may do all,
    /// and the parent topics `up` (3 partitions) and `orderMsg2mq-up`.
    #[must_use]
    pub fn new(stem: &str) -> Self {
        let name = crate::unique(stem);
        // Ten are between one broker's port and the same of the next.
        let first = run::free_ports(10 * MOST_BROKERS);
        Self {
            prefix: format!("{name}."),
            name,
            brokers: 1,
            slots: 4,
            program: None,
            mqtt: first,
            ws: first + 1,
            monitoring: first + 2,
            peers: first + 3,
            environment: Vec::new(),
            extra: Vec::new(),
            parents: vec![Parent::new("up", 3), Parent::new("orderMsg2mq-up", 3)],
            // `#` covers no topic that starts with `$`.
            users: vec![User::new(
                "device",
                "secret",
                &["#", "$up/#", "$x/#"].map(|rule| (rule, "pubsub")),
            )],
        }
    }

    /// With so many brokers, and slots enough for each to own a few.
    #[must_use]
    pub fn brokers(mut self, brokers: u16) -> Self {
        assert!(brokers <= MOST_BROKERS, "ports are kept free for no more");
        self.brokers = brokers;
        if brokers > 1 {
            self.slots = self.slots.max(4 * brokers);
        }
        self
    }

    /// With one more line in the instance's `spec`.
    #[must_use]
    pub fn with(mut self, line: &str) -> Self {
        self.extra.push(line.to_owned());
        self
    }

    /// With one more variable in the environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With one more parent topic.
    #[must_use]
    pub fn parent(mut self, parent: Parent) -> Self {
        self.parents.push(parent);
        self
    }

    /// With one more account.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.users.push(user);
        self
    }

    /// The resources as a user writes them.
    #[must_use]
    pub fn yaml(&self, bootstrap: &str) -> String {
        let Self {
            name,
            prefix,
            brokers,
            slots,
            mqtt,
            ws,
            monitoring,
            ..
        } = self;
        let mut text = format!(
            "apiVersion: mqtt.isthmus.dev/v1alpha1\n\
             kind: MqttInstance\n\
             metadata: {{name: {name}}}\n\
             spec:\n  \
               replicas: {brokers}\n  \
               slots: {slots}\n  \
               listeners:\n    \
                 mqtt: {{port: {mqtt}}}\n    \
                 ws: {{enabled: true, port: {ws}}}\n  \
               monitoring: {{port: {monitoring}}}\n  \
               kafka:\n    \
                 bootstrapServers: {bootstrap}\n    \
                 topicPrefix: {prefix}\n    \
                 systemTopics: {{partitions: 3}}\n"
        );
        for line in &self.extra {
            writeln!(text, "  {line}").unwrap();
        }
        for (
            number,
            Parent {
                name: parent,
                partitions,
                config,
            },
        ) in self.parents.iter().enumerate()
        {
            let kind = if parent.starts_with("orderMsg2mq-") {
                "PartitionOrdered"
            } else {
                "Normal"
            };
            write!(
                text,
                "---\n\
                 apiVersion: mqtt.isthmus.dev/v1alpha1\n\
                 kind: ParentTopic\n\
                 metadata: {{name: {name}-parent-{number}}}\n\
                 spec:\n  \
                   instanceRef: {{name: {name}}}\n  \
                   topicName: {parent}\n  \
                   type: {kind}\n  \
                   partitions: {partitions}\n"
            )
            .unwrap();
            if !config.is_empty() {
                let configs = config
                    .iter()
                    .map(|(key, value)| format!("{key}: \"{value}\""));
                writeln!(
                    text,
                    "  config: {{{}}}",
                    configs.collect::<Vec<_>>().join(", ")
                )
                .unwrap();
            }
        }
        for User {
            name: user,
            password,
            acl,
        } in &self.users
        {
            // Names of resources are lower-case; those of users are theirs.
            let resource = format!("{name}-{}", user.to_lowercase());
            write!(
                text,
                "---\n\
                 apiVersion: v1\n\
                 kind: Secret\n\
                 metadata: {{name: {resource}-password}}\n\
                 stringData: {{password: \"{password}\"}}\n\
                 ---\n\
                 apiVersion: mqtt.isthmus.dev/v1alpha1\n\
                 kind: MqttUser\n\
                 metadata: {{name: {resource}}}\n\
                 spec:\n  \
                   instanceRef: {{name: {name}}}\n  \
                   username: \"{user}\"\n  \
                   passwordSecretRef: {{name: {resource}-password}}\n"
            )
            .unwrap();
            let rules = acl
                .iter()
                .map(|(topic, action)| format!("{{topic: \"{topic}\", action: {action}}}"));
            writeln!(text, "  acl: [{}]", rules.collect::<Vec<_>>().join(", ")).unwrap();
        }
        text
    }
}
