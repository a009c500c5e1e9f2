//! The HTTP request that opens a WebSocket connection (RFC 6455 section 4.2) for MQTT: read within
//! a bound, checked, answered. What is not such a request gets an HTTP answer that says why.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use httparse::{Request, Status};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Bytes of a request's head.
const MAX_HEAD: usize = 8 * 1024;
/// Headers of a request.
const MAX_HEADERS: usize = 64;
/// What MQTT is called here: the second is MQTT 3.1's name.
const SUBPROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// Why a request was not upgraded.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The client left before its request was whole.
    #[error("closed before the HTTP request was whole")]
    Closed,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Answered with this status and text.
    #[error("HTTP {status}: {text}")]
    Refused {
        /// Status code and name.
        status: &'static str,
        /// For the client's developer.
        text: String,
    },
}

/// Reads the request and answers it. Gives the bytes that came after the request.
///
/// # Errors
/// It is no WebSocket upgrade for MQTT on this path. The answer has been written; closing the
/// socket in order is left to the caller.
pub async fn upgrade<S>(stream: &mut S, path: &str) -> Result<Vec<u8>, UpgradeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut received = Vec::new();
    let answer = match read_head(stream, &mut received).await {
        Ok(length) => answer(received.get(..length).unwrap_or_default(), path).map(|a| (a, length)),
        Err(error) => Err(error),
    };
    match answer {
        Ok((answer, length)) => {
            stream.write_all(answer.as_bytes()).await?;
            Ok(received.split_off(length))
        }
        Err(UpgradeError::Refused { status, text }) => {
            let head = refusal_head(status, text.len() + 1);
            stream
                .write_all(format!("{head}{text}\n").as_bytes())
                .await?;
            Err(UpgradeError::Refused { status, text })
        }
        Err(error) => Err(error),
    }
}

fn refusal_head(status: &str, length: usize) -> String {
    let more = if status.starts_with("426") {
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    } else {
        ""
    };
    format!(
        "HTTP/1.1 {status}\r\n{more}Connection: close\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\r\n"
    )
}

fn refused(status: &'static str, text: impl Into<String>) -> UpgradeError {
    UpgradeError::Refused {
        status,
        text: text.into(),
    }
}

/// Reads until the empty line; gives the length of the head.
async fn read_head<S>(stream: &mut S, received: &mut Vec<u8>) -> Result<usize, UpgradeError>
where
    S: AsyncRead + Unpin,
{
    const END: &[u8] = b"\r\n\r\n";
    let mut searched = 0;
    loop {
        let unsearched = received.get(searched..).unwrap_or_default();
        if let Some(found) = unsearched
            .windows(END.len())
            .position(|window| window == END)
        {
            return Ok(searched + found + END.len());
        }
        searched = received.len().saturating_sub(END.len() - 1);
        if received
            .first()
            .is_some_and(|first| !first.is_ascii_uppercase())
        {
            let text = "this port speaks MQTT over WebSocket; plain MQTT has a port of its own";
            return Err(refused("400 Bad Request", text));
        }
        if received.len() >= MAX_HEAD {
            let text = format!("more than {MAX_HEAD} bytes of headers");
            return Err(refused("431 Request Header Fields Too Large", text));
        }
        received.reserve(1024);
        if stream.read_buf(received).await? == 0 {
            return Err(UpgradeError::Closed);
        }
    }
}

/// The answer to a request that is in order.
fn answer(head: &[u8], path: &str) -> Result<String, UpgradeError> {
    let bad = |text: &str| refused("400 Bad Request", text);
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = Request::new(&mut headers);
    match request.parse(head) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) => return Err(bad("not an HTTP request")),
        Err(error) => return Err(bad(&format!("not an HTTP request: {error}"))),
    }
    let target = request.path.unwrap_or_default();
    if target.split('?').next() != Some(path) {
        let text = format!("nothing is served here; MQTT over WebSocket is on {path}");
        return Err(refused("404 Not Found", text));
    }
    if request.method != Some("GET") {
        return Err(refused(
            "405 Method Not Allowed",
            "a WebSocket is opened with GET",
        ));
    }
    if request.version != Some(1) {
        return Err(bad("a WebSocket is opened with HTTP/1.1"));
    }
    let tokens = |name| tokens(request.headers, name);
    let upgrade = tokens("Upgrade").any(|token| token.eq_ignore_ascii_case("websocket"));
    let connection = tokens("Connection").any(|token| token.eq_ignore_ascii_case("upgrade"));
    if !(upgrade && connection) {
        return Err(refused(
            "426 Upgrade Required",
            "this path is for MQTT over WebSocket",
        ));
    }
    if tokens("Sec-WebSocket-Version").next() != Some("13") {
        return Err(refused(
            "426 Upgrade Required",
            "Sec-WebSocket-Version must be 13",
        ));
    }
    let key = tokens("Sec-WebSocket-Key").next().unwrap_or_default();
    if STANDARD.decode(key).map_or(0, |key| key.len()) != 16 {
        return Err(bad("Sec-WebSocket-Key must be 16 bytes in base64"));
    }
    // `mqtt` wherever it is among what the client offers [MQTT-6.0.0-4].
    let offered = |name: &&str| tokens("Sec-WebSocket-Protocol").any(|token| token == *name);
    let Some(subprotocol) = SUBPROTOCOLS.into_iter().find(offered) else {
        return Err(bad(
            "Sec-WebSocket-Protocol must name mqtt (or mqttv3.1) [MQTT-6.0.0-3]",
        ));
    };
    let accept = derive_accept_key(key.as_bytes());
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    ))
}

/// The comma-separated values of all headers of this name.
fn tokens<'a>(
    headers: &'a [httparse::Header<'a>],
    name: &'static str,
) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .flat_map(|header| {
            std::str::from_utf8(header.value)
                .unwrap_or_default()
                .split(',')
        })
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\n\
                        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                        Sec-WebSocket-Protocol: chat, mqtt\r\n\r\n";

    async fn exchange(request: &str) -> (Result<Vec<u8>, UpgradeError>, String) {
        let (mut client, mut server) = tokio::io::duplex(64 * 1024);
        client.write_all(request.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let outcome = upgrade(&mut server, "/mqtt").await;
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        (outcome, answer)
    }

    #[tokio::test]
    async fn a_good_request_is_answered_and_the_bytes_after_it_are_kept() {
        let (outcome, answer) = exchange(&format!("{GOOD}after")).await;
        assert_eq!(outcome.unwrap(), b"after");
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        // RFC 6455 section 1.3
        assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(answer.contains("Sec-WebSocket-Protocol: mqtt\r\n"));
        let (outcome, answer) = exchange(&GOOD.replace("chat, mqtt", "mqttv3.1")).await;
        assert!(outcome.is_ok() && answer.contains("Sec-WebSocket-Protocol: mqttv3.1\r\n"));
        let (_, answer) = exchange(&GOOD.replace("chat, mqtt", "mqttv3.1, mqtt")).await;
        assert!(
            answer.contains("Sec-WebSocket-Protocol: mqtt\r\n"),
            "{answer}"
        );
        let (outcome, _) = exchange(&GOOD.replace("/mqtt ", "/mqtt?token=1 ")).await;
        assert!(outcome.is_ok());
    }

    #[tokio::test]
    async fn anything_else_is_told_what_is_wrong() {
        let long = format!("X-Long: {}\r\n\r\n", "a".repeat(MAX_HEAD));
        let many = format!("{}\r\n\r\n", "\r\nX: y".repeat(MAX_HEADERS));
        for (from, to, status) in [
            ("/mqtt ", "/other ", "404"),
            ("/mqtt ", "/mqtt/x ", "404"),
            ("GET", "POST", "405"),
            ("HTTP/1.1", "HTTP/1.0", "400"),
            ("Upgrade: WebSocket\r\n", "", "426"),
            ("keep-alive, Upgrade", "close", "426"),
            ("Version: 13", "Version: 8", "426"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "short", "400"),
            ("chat, mqtt", "chat", "400"),
            ("Sec-WebSocket-Protocol: chat, mqtt\r\n", "", "400"),
            ("GET", "\x10\x0c", "400"),
            ("GET", "GET GET", "400"),
            ("\r\n\r\n", &long, "431"),
            ("\r\n\r\n", &many, "400"),
        ] {
            let (outcome, answer) = exchange(&GOOD.replace(from, to)).await;
            assert!(outcome.is_err(), "{from} -> {to}");
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{to}: {answer}"
            );
            assert!(answer.ends_with('\n'), "{answer}");
        }
    }

    #[tokio::test]
    async fn half_a_request_is_not_answered() {
        let (outcome, answer) = exchange("GET /mqtt HTTP/1.1\r\nHost: x\r\n").await;
        assert!(matches!(outcome, Err(UpgradeError::Closed)));
        assert_eq!(answer, "");
    }
}
