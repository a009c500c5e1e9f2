//! The pump between a client and a session, over loopback sockets.

use tokio::task::JoinHandle;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::*;

type Client = WebSocketStream<TcpStream>;
type Pump = JoinHandle<Result<(), PumpError>>;

const MAX_PACKET: usize = 100 * 1024;

async fn connected() -> (Client, WebSocketPipe, Pump) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut request = format!("ws://{address}/mqtt")
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
    let client = TcpStream::connect(address).await.unwrap();
    let client = tokio::spawn(async { client_async(request, client).await.unwrap().0 });
    let (mut server, _) = listener.accept().await.unwrap();
    let leftover = upgrade(&mut server, "/mqtt").await.unwrap();
    let (pipe, pump) = pipe(server, leftover, MAX_PACKET);
    (client.await.unwrap(), pipe, tokio::spawn(pump))
}

fn binary(bytes: &[u8]) -> Message {
    Message::binary(bytes.to_vec())
}

async fn goodbye(client: &mut Client) -> Option<CloseCode> {
    while let Some(message) = client.next().await {
        if let Message::Close(frame) = message.ok()? {
            let _ = client.flush().await;
            return frame.map(|frame| frame.code);
        }
    }
    None
}

/// [MQTT-6.0.0-2]
#[tokio::test]
async fn packets_span_and_share_messages() {
    let (mut client, mut pipe, pump) = connected().await;
    for message in [&b"ab"[..], b"", b"cdef", b"g"] {
        client.send(binary(message)).await.unwrap();
    }
    let mut read = [0; 7];
    pipe.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"abcdefg");
    client
        .send(Message::Ping(Default::default()))
        .await
        .unwrap();
    assert!(matches!(client.next().await, Some(Ok(Message::Pong(_)))));
    pipe.write_all(b"hij").await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), binary(b"hij"));
    client.close(None).await.unwrap();
    assert_eq!(pipe.read(&mut read).await.unwrap(), 0);
    assert!(pump.await.unwrap().is_ok());
}

#[tokio::test]
async fn bytes_keep_their_order_under_load_in_both_directions() {
    let (client, pipe, pump) = connected().await;
    let (mut sink, mut source) = client.split();
    let (mut reader, mut writer) = tokio::io::split(pipe);
    let data: Vec<u8> = (0..4_000_000_u32)
        .map(|n| (n >> 8) as u8 ^ n as u8)
        .collect();
    let up = data.clone();
    let client_sends = tokio::spawn(async move {
        for chunk in up.chunks(MAX_PACKET) {
            sink.send(binary(chunk)).await.unwrap();
        }
        sink
    });
    let echo = tokio::spawn(async move {
        let mut buffer = vec![0; 3000];
        loop {
            let read = reader.read(&mut buffer).await.unwrap();
            if read == 0 {
                break;
            }
            writer.write_all(&buffer[..read]).await.unwrap();
        }
    });
    let mut down = Vec::new();
    while down.len() < data.len() {
        down.extend(source.next().await.unwrap().unwrap().into_data());
    }
    assert!(down == data);
    client_sends.await.unwrap().close().await.unwrap();
    echo.await.unwrap();
    assert!(pump.await.unwrap().is_ok());
}

#[tokio::test]
async fn what_a_leaving_session_wrote_arrives_before_the_close() {
    let (mut client, mut pipe, pump) = connected().await;
    // The client keeps sending to a session that is gone.
    for _ in 0..100 {
        client.send(binary(&[0; 1000])).await.unwrap();
    }
    pipe.write_all(b"last words").await.unwrap();
    drop(pipe);
    assert_eq!(client.next().await.unwrap().unwrap(), binary(b"last words"));
    assert_eq!(goodbye(&mut client).await, Some(CloseCode::Normal));
    assert!(pump.await.unwrap().is_ok());
}

/// [MQTT-6.0.0-1]
#[tokio::test]
async fn text_is_refused_after_what_came_before_it() {
    let (mut client, mut pipe, pump) = connected().await;
    client.send(binary(b"ok")).await.unwrap();
    client.send(Message::text("hello")).await.unwrap();
    let mut all = vec![];
    pipe.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"ok");
    assert_eq!(goodbye(&mut client).await, Some(CloseCode::Unsupported));
    assert!(matches!(pump.await.unwrap(), Err(PumpError::Text)));
}

#[tokio::test]
async fn too_large_messages_are_refused() {
    let (mut client, mut pipe, pump) = connected().await;
    let large = vec![0; MAX_PACKET + MESSAGE_SLACK + 1];
    let sending = async {
        let _ = client.send(binary(&large)).await;
        goodbye(&mut client).await
    };
    let (code, read) = tokio::join!(sending, async {
        let mut all = vec![];
        pipe.read_to_end(&mut all).await.map(|_| all)
    });
    assert_eq!(read.unwrap(), b"");
    // The reset may overtake the close frame.
    assert!(matches!(code, Some(CloseCode::Size) | None), "{code:?}");
    assert!(matches!(
        pump.await.unwrap(),
        Err(PumpError::WebSocket(Error::Capacity(_)))
    ));
}

#[tokio::test]
async fn a_lost_client_ends_the_sessions_bytes() {
    let (client, mut pipe, pump) = connected().await;
    drop(client);
    assert_eq!(pipe.read(&mut [0; 8]).await.unwrap(), 0);
    assert!(pump.await.unwrap().is_err());
}

#[tokio::test]
async fn a_client_that_takes_nothing_makes_the_session_wait_and_does_not_outlive_it() {
    let (client, mut pipe, pump) = connected().await;
    let mut written = 0;
    let chunk = [0; 8192];
    while let Ok(written_now) = timeout(Duration::from_millis(300), pipe.write(&chunk)).await {
        written += written_now.unwrap();
        assert!(written < 64 << 20, "unbounded");
    }
    drop(pipe);
    let ended = timeout(GRACE + Duration::from_secs(2), pump).await.unwrap();
    assert!(matches!(ended.unwrap(), Err(PumpError::Stuck)));
    drop(client);
}
