//! A real Kafka of one node, on free ports, in a folder of its own; gone when dropped. It can be
//! killed and started again, and reached through a proxy.

use std::fs::{self, File};
use std::future::Future;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use isthmus_kafka::record::Message;
use isthmus_kafka::{client, reader};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tempfile::TempDir;

pub(crate) struct Kafka {
    process: Mutex<Child>,
    folder: TempDir,
    port: u16,
    /// Kafka listens here, too, and says that it is at `proxy`.
    pub(crate) proxied: u16,
    pub(crate) proxy: u16,
}

impl Kafka {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [port, proxied, proxy, controller] = free_ports();
        let text = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{proxied},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{proxy}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             log.dirs={}\n\
             offsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=1\nmin.insync.replicas=1\n\
             group.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\n",
            folder.path().join("logs").display()
        );
        let config = folder.path().join("server.properties");
        fs::write(&config, text).unwrap();
        let formatted = Command::new("java")
            .args(["-cp", &class_path(), "kafka.tools.StorageTool", "format"])
            .args(["-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c"])
            .arg(&config)
            .output()
            .expect("java runs");
        assert!(
            formatted.status.success(),
            "{}",
            String::from_utf8_lossy(&formatted.stderr)
        );
        let process = Mutex::new(Self::spawn(&folder));
        let kafka = Self {
            process,
            folder,
            port,
            proxied,
            proxy,
        };
        kafka.wait();
        kafka
    }

    fn spawn(folder: &TempDir) -> Child {
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.path().join("kafka.log"))
            .unwrap();
        Command::new("java")
            .args([
                "-Xmx512m",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                &class_path(),
                "kafka.Kafka",
            ])
            .arg(folder.path().join("server.properties"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("java runs")
    }

    /// kill -9
    pub(crate) fn kill(&self) {
        let mut process = self.process.lock().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// An orderly stop.
    pub(crate) fn stop(&self) {
        let mut process = self.process.lock().unwrap();
        let told = Command::new("kill").arg(process.id().to_string()).status();
        assert!(told.unwrap().success());
        process.wait().unwrap();
    }

    pub(crate) fn restart(&self) {
        *self.process.lock().unwrap() = Self::spawn(&self.folder);
        self.wait();
    }

    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn through_proxy(&self) -> String {
        format!("127.0.0.1:{}", self.proxy)
    }

    fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(90);
        let consumer: BaseConsumer = client::base_config(self.bootstrap()).create().unwrap();
        while let Err(error) = consumer.fetch_metadata(None, Duration::from_secs(2)) {
            let log = || fs::read_to_string(self.folder.path().join("kafka.log")).unwrap();
            assert!(
                Instant::now() < end,
                "Kafka does not serve: {error}\n{}",
                log()
            );
        }
    }

    pub(crate) fn create(&self, topic: &str, partitions: i32, config: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> =
            client::base_config(self.bootstrap()).create().unwrap();
        let topic = NewTopic {
            name: topic,
            num_partitions: partitions,
            replication: TopicReplication::Fixed(1),
            config: config.to_vec(),
        };
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
        let made = block_on(admin.create_topics([&topic], &options)).unwrap();
        made.into_iter().for_each(|made| drop(made.unwrap()));
    }

    /// A topic of its own name for a test.
    pub(crate) fn topic(&self, name: &str, partitions: i32) -> String {
        let topic = unique(name);
        self.create(&topic, partitions, &[]);
        topic
    }

    /// All committed records of a topic.
    pub(crate) fn read(&self, topic: &str, partitions: i32) -> Vec<Message> {
        let mut all = Vec::new();
        let wanted: Vec<i32> = (0..partitions).collect();
        let until = Instant::now() + Duration::from_secs(30);
        reader::Restorer::new(self.bootstrap(), "test", &[])
            .unwrap()
            .read_to_end(topic, &wanted, until, |message| all.push(message))
            .unwrap();
        all
    }

    /// A client of the test's own.
    pub(crate) fn client(&self) -> ClientConfig {
        client::base_config(self.bootstrap())
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let process = self
            .process
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let _ = process.kill();
        let _ = process.wait();
    }
}

fn class_path() -> String {
    let home = std::env::var_os("ISTHMUS_KAFKA_HOME")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            let cache = std::env::var_os("XDG_CACHE_HOME")
                .map(PathBuf::from)
                .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
            cache.join("isthmus/kafka-4.1.1")
        });
    let lib = home.join("lib");
    assert!(
        lib.is_dir(),
        "no Kafka in {}: set ISTHMUS_KAFKA_HOME",
        lib.display()
    );
    format!("{}/*", lib.display())
}

/// Ports that were free a moment ago.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// One Kafka for the tests that run at the same time; the last one stops it.
pub(crate) fn shared() -> Arc<Kafka> {
    static SHARED: Mutex<Weak<Kafka>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let kafka = Arc::new(Kafka::start());
        *shared = Arc::downgrade(&kafka);
        kafka
    })
}

pub(crate) fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = Box::pin(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Events of the plumbing, waited for.
pub(crate) struct Events<T>(Receiver<T>);

pub(crate) fn events<T>() -> (Sender<T>, Events<T>) {
    let (sender, receiver) = channel();
    (sender, Events(receiver))
}

impl<T: std::fmt::Debug> Events<T> {
    pub(crate) fn next(&self) -> T {
        self.0
            .recv_timeout(Duration::from_secs(60))
            .expect("an event within 60 s")
    }

    pub(crate) fn take(&self, count: usize) -> Vec<T> {
        (0..count).map(|_| self.next()).collect()
    }

    /// The first that `wanted` takes; the others are dropped.
    pub(crate) fn find<R>(&self, mut wanted: impl FnMut(T) -> Option<R>) -> R {
        loop {
            if let Some(found) = wanted(self.next()) {
                return found;
            }
        }
    }

    /// One that is there already.
    pub(crate) fn ready(&self) -> Option<T> {
        self.0.try_recv().ok()
    }

    pub(crate) fn none_for(&self, time: Duration) {
        if let Ok(event) = self.0.recv_timeout(time) {
            panic!("unexpected: {event:?}");
        }
    }
}

/// "p50 3.1 ms, p99 4.0 ms, worst 5.0 ms"
pub(crate) fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
    format!(
        "p50 {:.1?}, p99 {:.1?}, worst {:.1?}",
        at(50),
        at(99),
        at(100)
    )
}

/// CPU time of this process so far.
pub(crate) fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
