//! A real Kafka (KRaft) of one or of several nodes on free ports, with its faults: stop, kill -9,
//! freeze, start, of all or of one node; for a fragile one also dropped packets and a full disk.

mod disk;
mod link;
mod node;
mod secured;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

pub use node::Node;
pub use secured::{PASSWORD, Secured, USERNAME};

use crate::records;

/// Java with little memory that starts soon.
const SMALL: [&str; 3] = ["-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// A Kafka.
#[derive(Debug)]
pub struct Kafka {
    nodes: Vec<Node>,
}

/// The Kafka of this test process. No test harms it; those that do start their own.
#[must_use]
pub fn shared() -> &'static Kafka {
    static SHARED: OnceLock<Kafka> = OnceLock::new();
    SHARED.get_or_init(Kafka::start)
}

impl Kafka {
    /// A new, empty Kafka of one node that answers; its Java takes little memory and starts soon.
    #[must_use]
    pub fn start() -> Self {
        Self::start_of(1, &SMALL, 0, None)
    }

    /// The same with these options of Java's.
    #[must_use]
    pub fn start_with(jvm: &[&str]) -> Self {
        Self::start_of(1, jvm, 0, None)
    }

    /// The same of several nodes. From three on every topic has three replicas, of which two must
    /// have what is acknowledged.
    #[must_use]
    pub fn cluster(nodes: usize) -> Self {
        Self::start_of(nodes, &SMALL, 0, None)
    }

    /// Of several nodes, with `ways` ways for the service, on each of which packets can be dropped,
    /// and a disk of `mebibytes` for each node that can be full.
    #[must_use]
    pub fn fragile(nodes: usize, ways: usize, mebibytes: u64) -> Self {
        Self::start_of(nodes, &SMALL, ways, Some(mebibytes))
    }

    /// Of one node, with guarded ways in besides the open one.
    #[must_use]
    pub fn secured() -> Self {
        let mut node = Node::new(1, &SMALL, 0, None).secured();
        node.format(&node.voter(), 1);
        node.resume();
        Self { nodes: vec![node] }
    }

    /// The guarded ways in.
    #[must_use]
    pub fn guard(&self) -> &Secured {
        let guard = self.nodes.first().and_then(Node::guard);
        guard.expect("a secured Kafka")
    }

    /// `host:port` where [`USERNAME`] gets in with [`PASSWORD`], over TLS.
    #[must_use]
    pub fn bootstrap_by_password(&self) -> String {
        format!("{}:{}", node::host(), self.guard().password_port)
    }

    /// `host:port` where a client gets in by its certificate.
    #[must_use]
    pub fn bootstrap_by_certificate(&self) -> String {
        format!("{}:{}", node::host(), self.guard().certificate_port)
    }

    fn start_of(nodes: usize, jvm: &[&str], ways: usize, disk: Option<u64>) -> Self {
        let ids = (1..).take(nodes);
        let mut nodes: Vec<Node> = ids.map(|id| Node::new(id, jvm, ways, disk)).collect();
        let voters: Vec<String> = nodes.iter().map(Node::voter).collect();
        for node in &nodes {
            node.format(&voters.join(","), nodes.len());
        }
        nodes.iter_mut().for_each(Node::launch);
        nodes.iter_mut().for_each(Node::wait_until_answering);
        Self { nodes }
    }

    /// `host:port`, of each node.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let each: Vec<String> = self.nodes.iter().map(Node::bootstrap).collect();
        each.join(",")
    }

    /// `host:port` for the service: by its first way, if it has ways of its own.
    #[must_use]
    pub fn bootstrap_of_service(&self) -> String {
        self.bootstrap_by(0)
    }

    /// `host:port` of each node by this way; by their own listeners, where there is no such way.
    #[must_use]
    pub fn bootstrap_by(&self, way: usize) -> String {
        let port = |node: &Node| node.ways.get(way).map_or(node.port, |link| link.advertised);
        let each: Vec<String> = (self.nodes.iter())
            .map(|node| format!("127.0.0.1:{}", port(node)))
            .collect();
        each.join(",")
    }

    /// How many nodes it has.
    #[must_use]
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// One node, counted from 0.
    pub fn node(&mut self, number: usize) -> &mut Node {
        &mut self.nodes[number]
    }

    /// From now on packets on this way of the service are dropped, to and from every node.
    pub fn drop_packets(&self, way: usize) {
        for node in &self.nodes {
            node.ways.get(way).expect("a fragile Kafka").drop_packets();
        }
    }

    /// Packets pass again.
    pub fn pass_packets(&self, way: usize) {
        for node in &self.nodes {
            node.ways.get(way).expect("a fragile Kafka").pass_packets();
        }
    }

    /// Starts every node again on its data and waits until they answer.
    pub fn resume(&mut self) {
        self.nodes.iter_mut().for_each(Node::launch);
        self.nodes.iter_mut().for_each(Node::wait_until_answering);
    }

    /// An orderly stop of all nodes.
    pub fn stop(&mut self) {
        self.nodes.iter().for_each(Node::terminate);
        // The last of them wait in vain for a quorum to say farewell to.
        let several = self.nodes.len() > 1;
        let deadline = several.then(|| Instant::now() + Duration::from_secs(8));
        for node in &mut self.nodes {
            node.end(deadline);
        }
    }

    /// kill -9 of all nodes.
    pub fn kill(&mut self) {
        self.nodes.iter_mut().for_each(Node::kill);
    }

    /// SIGSTOP of all nodes: connections stay, nothing answers.
    pub fn freeze(&self) {
        self.nodes.iter().for_each(Node::freeze);
    }

    /// SIGCONT of all nodes.
    pub fn thaw(&self) {
        self.nodes.iter().for_each(Node::thaw);
    }

    /// Makes a topic that is not the service's own.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = records::config(&self.bootstrap())
            .create()
            .expect("admin client");
        let replicas = self.nodes.len().min(3);
        let replicas = TopicReplication::Fixed(i32::try_from(replicas).expect("a number"));
        let topic = NewTopic::new(name, partitions, replicas);
        let made = records::block_on(admin.create_topics([&topic], &AdminOptions::new()));
        for result in made.expect("create topic") {
            result.expect("create topic");
        }
    }

    /// The topics that exist.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        let asker: BaseConsumer = records::config(&self.bootstrap())
            .create()
            .expect("consumer");
        let metadata = asker.fetch_metadata(None, crate::SOON).expect("metadata");
        metadata
            .topics()
            .iter()
            .map(|topic| topic.name().to_owned())
            .collect()
    }

    /// Replicas of each topic's first partition.
    #[must_use]
    pub fn replicas(&self) -> Vec<(String, usize)> {
        let asker: BaseConsumer = records::config(&self.bootstrap())
            .create()
            .expect("consumer");
        let metadata = asker.fetch_metadata(None, crate::SOON).expect("metadata");
        let replicas = metadata.topics().iter().filter_map(|topic| {
            let first = topic.partitions().first()?;
            Some((topic.name().to_owned(), first.replicas().len()))
        });
        replicas.collect()
    }
}
