//! Binding, the limit of connections, and which errors are waited out.

use std::io::{Error, ErrorKind};

use isthmus_config::Listeners;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::auth::Authenticator;
use crate::directory::Directory;
use crate::handshake::Handshake;
use crate::handshake::testing::{CONNECT, config};

#[tokio::test]
async fn every_address_that_cannot_be_bound_is_named_with_its_field() {
    let (taken, address) = bind("x", "127.0.0.1:0").unwrap();
    let listeners = Listeners {
        mqtt: Some(isthmus_config::TcpListener {
            address: address.to_string(),
        }),
        ws: Some(isthmus_config::WsListener {
            address: "nowhere".into(),
            path: "/mqtt".into(),
        }),
    };
    let faults = bind_all(&listeners).unwrap_err();
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let start = format!("listeners.mqtt.address: cannot listen on \"{address}\": Address already");
    assert!(texts[0].starts_with(&start), "{texts:?}");
    let ws = "listeners.ws.address: cannot listen on \"nowhere\": expected ip:port";
    assert!(texts[1].starts_with(ws), "{texts:?}");
    drop(taken);
}

#[tokio::test]
async fn connections_past_the_limit_are_closed_until_one_ends() {
    let mut config = config();
    config.limits.max_connections = 2;
    config.listeners.ws = None;
    config.authentication.allow_anonymous = true;
    let metrics = Arc::new(Metrics::new());
    let directory = Arc::new(Directory::new());
    let authenticator = Authenticator::new(directory, &config.authentication).unwrap();
    let (sender, mut accepted) = tokio::sync::mpsc::unbounded_channel();
    let handover = move |accepted| drop(sender.send(accepted));
    let handshake = Handshake::new(
        &config,
        Arc::new(authenticator),
        metrics.clone(),
        Handshake::large_packets(),
        handover,
    );
    let listener = bind_all(&config.listeners).unwrap().remove(0);
    let address = listener.local_addr();
    let gate = gate(&config.limits, &metrics);
    let (_open, closing) = tokio::sync::watch::channel(false);
    let door = move |incoming| {
        drop(tokio::spawn(
            handshake.clone().serve(incoming, closing.clone()),
        ))
    };
    tokio::spawn(run(listener, gate, door, std::future::pending()));

    let connect = || async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(CONNECT).await;
        stream
    };
    let _first = connect().await;
    let _second = connect().await;
    let first = accepted.recv().await.unwrap();
    let _second = accepted.recv().await.unwrap();
    let mut third = connect().await;
    // Closed with the CONNECT unread: an end or a reset.
    assert_eq!(third.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert_eq!(
        metrics
            .connections_refused
            .get(RefusalReason::MaxConnections),
        1
    );
    drop(first);
    let _fourth = connect().await;
    assert!(accepted.recv().await.is_some());
}

#[test]
fn only_errors_of_one_connection_are_retried_at_once() {
    assert!(is_about_the_connection(
        &ErrorKind::ConnectionAborted.into()
    ));
    // EMFILE, ENFILE, ENOBUFS, ENOMEM
    for exhausted in [24, 23, 105, 12] {
        assert!(!is_about_the_connection(&Error::from_raw_os_error(
            exhausted
        )));
    }
}
