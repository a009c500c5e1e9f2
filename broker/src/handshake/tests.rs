//! Clients over loopback sockets, through listener and handshake, to a session that echoes.

use argon2::password_hash::{PasswordHasher, SaltString};
use argon2::{Argon2, Params};
use isthmus_config::Authentication;
use isthmus_kafka::directory::{Entry, ManagedBy, User, VERSION};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::testing::{CONNECT, config, connect, upgrade_request};
use super::*;
use crate::directory::Directory;
use crate::listener::{bind_all, gate, run};
use crate::telemetry::RefusalReason;

/// The user `device` with the password `secret`.
fn user() -> Entry {
    let argon2 = Argon2::new(
        Default::default(),
        Default::default(),
        Params::new(8, 1, 1, None).unwrap(),
    );
    let salt = SaltString::encode_b64(b"0123456789abcdef").unwrap();
    let password_hash = argon2.hash_password(b"secret", &salt).unwrap().to_string();
    let user = User {
        v: VERSION,
        managed_by: ManagedBy::Api,
        enabled: true,
        password_hash,
    };
    Entry::User("device".to_owned(), Some(user))
}

struct Edge {
    mqtt: SocketAddr,
    ws: SocketAddr,
    metrics: Arc<Metrics>,
    accepted: mpsc::UnboundedReceiver<Accepted>,
    closing: watch::Sender<bool>,
    handshakes: Arc<Mutex<JoinSet<()>>>,
}

impl Edge {
    fn new(allow_anonymous: bool) -> Self {
        Self::with(allow_anonymous, |_| {})
    }

    fn with(allow_anonymous: bool, adjust: impl Fn(&mut Handshake)) -> Self {
        let config = config();
        let metrics = Arc::new(Metrics::new());
        let directory = Arc::new(Directory::new());
        directory.apply([user()]);
        let authentication = Authentication {
            allow_anonymous,
            anonymous_acl: vec![],
        };
        let authenticator = Arc::new(Authenticator::new(directory, &authentication).unwrap());
        let (sender, accepted) = mpsc::unbounded_channel();
        let handover = move |accepted| drop(sender.send(accepted));
        let mut handshake = Handshake::new(
            &config,
            authenticator,
            metrics.clone(),
            Handshake::large_packets(),
            handover,
        );
        adjust(Arc::get_mut(&mut handshake).unwrap());
        let gate = gate(&config.limits, &metrics);
        let listeners = bind_all(&config.listeners).unwrap();
        let (mqtt, ws) = (listeners[0].local_addr(), listeners[1].local_addr());
        let (closing, _) = watch::channel(false);
        let handshakes = Arc::new(Mutex::new(JoinSet::new()));
        for listener in listeners {
            let (handshake, handshakes) = (handshake.clone(), handshakes.clone());
            let (closing, mut stopped) = (closing.subscribe(), closing.subscribe());
            let door = move |incoming| {
                let serve = handshake.clone().serve(incoming, closing.clone());
                handshakes.lock().spawn(serve);
            };
            let stopped = async move { drop(stopped.wait_for(|stop| *stop).await) };
            tokio::spawn(run(listener, gate.clone(), door, stopped));
        }
        Self {
            mqtt,
            ws,
            metrics,
            accepted,
            closing,
            handshakes,
        }
    }

    async fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.mqtt).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// All that the server answers before it closes.
    async fn answer(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.send(bytes).await;
        let mut answer = vec![];
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    }

    /// Refusals are counted when the connection is closed on both sides.
    async fn counted(&self, reason: RefusalReason, times: u64) {
        for _ in 0..200 {
            if self.metrics.connections_refused.get(reason) == times {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "{reason:?}: {}",
            self.metrics.connections_refused.get(reason)
        );
    }
}

#[tokio::test]
async fn a_connect_is_handed_over_with_all_that_was_read() {
    let mut edge = Edge::new(true);
    let sent = [CONNECT, &[0xC0, 0]].concat();
    let mut client = edge.send(&sent).await;
    let accepted = edge.accepted.recv().await.unwrap();
    assert_eq!(accepted.buffered, sent);
    assert_eq!(
        (accepted.client_id.as_str(), accepted.assigned),
        ("device", false)
    );
    assert_eq!((accepted.username, accepted.anonymous), (None, true));
    assert_eq!(accepted.peer, client.local_addr().unwrap());
    assert_eq!(edge.metrics.connections.get(), 1);

    // Another runtime goes on with it.
    let Transport::Detached(stream) = accepted.transport.detach().unwrap() else {
        panic!()
    };
    let guard = accepted.guard;
    let shard = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut stream = TcpStream::from_std(stream).unwrap();
            let mut read = [0; 4];
            stream.read_exact(&mut read).await.unwrap();
            stream.write_all(&read).await.unwrap();
        });
        drop(guard);
    });
    client.write_all(b"ping").await.unwrap();
    let mut echoed = vec![];
    client.read_to_end(&mut echoed).await.unwrap();
    assert_eq!(echoed, b"ping");
    shard.join().unwrap();
    assert_eq!(edge.metrics.connections.get(), 0);
}

#[tokio::test]
async fn a_connect_may_come_byte_by_byte() {
    let mut edge = Edge::new(true);
    let mut client = edge.send(&[]).await;
    client.set_nodelay(true).unwrap();
    for byte in CONNECT {
        client.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(edge.accepted.recv().await.unwrap().buffered, CONNECT);
}

#[tokio::test]
async fn credentials_are_checked_and_refusals_said_in_the_clients_version() {
    let mut edge = Edge::new(false);
    for (version, password, connack) in [
        (4, Some("wrong"), &[0x20, 2, 0, 4][..]),
        (3, Some("wrong"), &[0x20, 2, 0, 4]),
        (4, None, &[0x20, 2, 0, 5]),
    ] {
        let username = password.map(|_| "device");
        let packet = connect(version, "c", username, password);
        assert_eq!(
            edge.answer(&packet).await,
            connack,
            "{version} {password:?}"
        );
    }
    let answer = edge
        .answer(&connect(5, "c", Some("unknown"), Some("secret")))
        .await;
    assert_eq!(answer[3], 0x86);
    edge.counted(RefusalReason::BadCredentials, 3).await;
    edge.counted(RefusalReason::Anonymous, 1).await;

    let _client = edge
        .send(&connect(5, "", Some("device"), Some("secret")))
        .await;
    let accepted = edge.accepted.recv().await.unwrap();
    assert_eq!(accepted.username.as_deref(), Some("device"));
    assert!(accepted.assigned && !accepted.anonymous);
    assert_eq!(accepted.client_id.len(), 22);
}

#[tokio::test]
async fn what_is_no_connect_is_closed() {
    let edge = Edge::new(true);
    assert_eq!(edge.answer(b"GET / HTTP/1.1\r\n\r\n").await, b"");
    assert_eq!(edge.answer(&[0xC0, 0]).await, b"");
    edge.counted(RefusalReason::NotConnect, 2).await;
    assert_eq!(
        edge.answer(b"\x10\x0c\0\x04HTTP\x04\x02\0\x3c\0\0").await,
        b""
    );
    assert_eq!(edge.answer(b"\x11\x0c").await, b"");
    edge.counted(RefusalReason::Malformed, 2).await;
    // MQTT 5, with a Clean Start of 3 bits: malformed, and told so.
    assert_eq!(
        edge.answer(b"\x10\x0d\0\x04MQTT\x05\x03\0\x3c\0\0\0").await,
        [0x20, 3, 0, 0x81, 0]
    );
    assert_eq!(
        edge.answer(b"\x10\x0c\0\x04MQTT\x07\x02\0\x3c\0\0").await,
        [0x20, 3, 0, 0x84, 0]
    );
    assert_eq!(
        edge.answer(b"\x10\x0c\0\x04MQTT\x03\x02\0\x3c\0\0").await,
        [0x20, 2, 0, 1]
    );
    edge.counted(RefusalReason::UnsupportedVersion, 2).await;
}

#[tokio::test]
async fn too_large_a_connect_is_refused_from_its_head() {
    let edge = Edge::new(true);
    assert_eq!(edge.answer(b"\x10\xff\xff\x7f\0\x04MQTT\x04").await, b"");
    assert_eq!(
        edge.answer(b"\x10\xff\xff\x7f\0\x04MQTT\x05").await,
        [0x20, 3, 0, 0x95, 0]
    );
    edge.counted(RefusalReason::TooLarge, 2).await;
}

#[tokio::test]
async fn random_bytes_are_survived() {
    let mut edge = Edge::with(true, |handshake| {
        handshake.read_limit = Duration::from_millis(50)
    });
    let mut state = 1_u64;
    for round in 0..100 {
        let mut bytes = CONNECT.to_vec();
        for _ in 0..3 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let at = usize::try_from(state >> 33).unwrap() % bytes.len();
            bytes[at] = (state >> 25) as u8;
        }
        let mut stream = if round % 2 == 0 {
            edge.send(&bytes).await
        } else {
            edge.send(&bytes[1..]).await
        };
        let _ = stream.shutdown().await;
        let mut answer = vec![];
        // Refused, or handed over and dropped: closed either way.
        tokio::select! {
            _ = stream.read_to_end(&mut answer) => {}
            Some(accepted) = edge.accepted.recv() => drop(accepted),
        }
    }
    let _client = edge.send(CONNECT).await;
    assert!(edge.accepted.recv().await.is_some());
}

#[tokio::test]
async fn slow_clients_are_closed_on_both_listeners() {
    let edge = Edge::with(true, |handshake| {
        handshake.read_limit = Duration::from_millis(60)
    });
    let start = Instant::now();
    assert_eq!(edge.answer(&CONNECT[..5]).await, b"");
    let mut stream = TcpStream::connect(edge.ws).await.unwrap();
    stream.write_all(b"GET /mqtt HTTP").await.unwrap();
    assert_eq!(stream.read_to_end(&mut vec![]).await.unwrap(), 0);
    // Upgraded, and then silent.
    let mut stream = TcpStream::connect(edge.ws).await.unwrap();
    stream
        .write_all(upgrade_request("/mqtt", "mqtt").as_bytes())
        .await
        .unwrap();
    stream.read_to_end(&mut vec![]).await.unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(9),
        "{:?}",
        start.elapsed()
    );
    drop(stream);
    edge.counted(RefusalReason::Timeout, 3).await;
    drop(edge.send(&CONNECT[..5]).await);
    edge.counted(RefusalReason::Closed, 1).await;
}

#[tokio::test]
async fn large_connects_share_a_bound() {
    let long = "u".repeat(3 * SMALL);
    let mut edge = Edge::with(true, |handshake| {
        handshake.large = Arc::new(Semaphore::new(4 * SMALL));
    });
    let large = connect(4, "c", Some(&long), Some("x"));
    let first = edge.send(&large[..large.len() - 1]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let second = edge.answer(&large);
    let waited = timeout(Duration::from_millis(100), second).await;
    assert!(waited.is_err(), "read beside the first");
    let _small = edge.send(CONNECT).await;
    assert!(edge.accepted.recv().await.is_some());
    drop(first);
    assert_eq!(edge.answer(&large).await, [0x20, 2, 0, 4]);
}

#[tokio::test]
async fn shutdown_ends_handshakes_and_waits_for_websocket_sessions() {
    let mut edge = Edge::new(true);
    let mut halfway = edge.send(&CONNECT[..5]).await;
    let mut ws = TcpStream::connect(edge.ws).await.unwrap();
    let frame = super::testing::masked(0x82, CONNECT);
    ws.write_all(&[upgrade_request("/mqtt", "mqtt").as_bytes(), &frame].concat())
        .await
        .unwrap();
    let accepted = edge.accepted.recv().await.unwrap();
    edge.closing.send_replace(true);
    assert_eq!(halfway.read_to_end(&mut vec![]).await.unwrap(), 0);
    drop(halfway);
    let mut handshakes = std::mem::take(&mut *edge.handshakes.lock());
    handshakes.join_next().await.unwrap().unwrap();
    edge.counted(RefusalReason::ShuttingDown, 1).await;
    assert_eq!(handshakes.len(), 1, "the session's connection stays");
    assert!(TcpStream::connect(edge.ws).await.is_err());
    drop(accepted);
    ws.read_to_end(&mut vec![]).await.unwrap();
    drop(ws);
    handshakes.join_next().await.unwrap().unwrap();
    assert_eq!(edge.metrics.connections.get(), 0);
}
