//! MQTT over WebSocket for the kit's client: a tunnel whose one end is a plain TCP port.
//!
//! RFC 6455 as far as it takes: whole binary frames, masked with zeros, which every server accepts.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

const BINARY: u8 = 0x82;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const CLOSE: u8 = 0x88;

/// `host:port` of a TCP port that leads each connection to `web`, `host:port` of a WebSocket
/// listener, as long as this process runs.
#[must_use]
pub fn tunnel(web: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let web = web.to_owned();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // The client sees a connection that ends.
            let _ = open(&web).and_then(|socket| join(&client, &socket));
        }
    });
    address
}

/// Opens a WebSocket.
fn open(web: &str) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(web)?;
    socket.set_nodelay(true)?;
    write!(
        socket,
        "GET /mqtt HTTP/1.1\r\nHost: {web}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: mqtt\r\n\r\n"
    )?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "no WebSocket at {web}");
    Ok(socket)
}

/// Carries bytes both ways until one end closes.
fn join(client: &TcpStream, socket: &TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (mut from_client, mut to_socket) = (client.try_clone()?, socket.try_clone()?);
    let (mut to_client, mut from_socket) = (client.try_clone()?, socket.try_clone()?);
    let mut answer = socket.try_clone()?;
    thread::spawn(move || {
        let mut chunk = [0; 32_768];
        while let Ok(length @ 1..) = from_client.read(&mut chunk) {
            if send(&mut to_socket, BINARY, &chunk[..length]).is_err() {
                break;
            }
        }
        let _ = to_socket.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        while let Ok((head, payload)) = receive(&mut from_socket) {
            let done = match head {
                PING => send(&mut answer, PONG, &payload),
                CLOSE => break,
                _ => to_client.write_all(&payload),
            };
            if done.is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
    Ok(())
}

fn send(socket: &mut TcpStream, head: u8, payload: &[u8]) -> io::Result<()> {
    let mut frame = vec![head, 0x80 | 127];
    frame.extend((payload.len() as u64).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(payload);
    socket.write_all(&frame)
}

/// The next frame of the server.
fn receive(socket: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    socket.read_exact(&mut head)?;
    let length = match head[1] {
        126 => {
            let mut length = [0; 2];
            socket.read_exact(&mut length)?;
            u64::from(u16::from_be_bytes(length))
        }
        127 => {
            let mut length = [0; 8];
            socket.read_exact(&mut length)?;
            u64::from_be_bytes(length)
        }
        short => u64::from(short),
    };
    let mut payload = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    socket.read_exact(&mut payload)?;
    Ok((head[0], payload))
}
