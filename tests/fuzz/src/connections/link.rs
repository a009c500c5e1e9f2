//! A raw connection, over TCP or WebSocket, that keeps every byte of both directions.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// One connection.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    web: bool,
    /// WebSocket bytes that are no whole frame yet.
    frames: Vec<u8>,
    /// MQTT bytes from the broker.
    pub received: Vec<u8>,
    /// The broker has closed it.
    pub closed: bool,
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// The broker is not there, or refuses the WebSocket.
    pub fn open(address: (&str, u16), web: bool) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        stream
            .set_write_timeout(Some(Duration::from_secs(20)))
            .map_err(|error| error.to_string())?;
        let mut link = Self {
            stream,
            web,
            frames: Vec::new(),
            received: Vec::new(),
            closed: false,
        };
        if web {
            link.upgrade()?;
        }
        Ok(link)
    }

    fn upgrade(&mut self) -> Result<(), String> {
        self.write(
            b"GET /mqtt HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n\
              Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
        );
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let head = self.frames.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = head {
                let answer: Vec<u8> = self.frames.drain(..end + 4).collect();
                return match answer.starts_with(b"HTTP/1.1 101 ") {
                    true => Ok(()),
                    false => Err(String::from_utf8_lossy(&answer).into_owned()),
                };
            }
            if self.closed || !self.fill(deadline) {
                return Err("no answer to the WebSocket's request".to_owned());
            }
        }
    }

    /// Sends MQTT bytes; a broker that has closed takes none.
    pub fn send(&mut self, bytes: &[u8]) {
        if self.web {
            let mut message = vec![0x82];
            match u8::try_from(bytes.len()) {
                Ok(len) if len < 126 => message.push(0x80 | len),
                _ => {
                    message.push(0x80 | 127);
                    message.extend((bytes.len() as u64).to_be_bytes());
                }
            }
            let mask = [0x5A, 0x00, 0xFF, 0x31];
            message.extend(mask);
            message.extend(bytes.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
            self.write(&message);
        } else {
            self.write(bytes);
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        if !self.closed && self.stream.write_all(bytes).is_err() {
            // What it sent before that is still to be read.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }

    /// Ends the sending half.
    pub fn half_close(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads until `enough` of what was received, or the end; false when time ran out.
    pub fn read_until(&mut self, within: Duration, mut enough: impl FnMut(&[u8]) -> bool) -> bool {
        let deadline = Instant::now() + within;
        loop {
            self.unpack();
            if self.closed || enough(&self.received) {
                return true;
            }
            if !self.fill(deadline) {
                return false;
            }
        }
    }

    /// Reads once; false when time ran out.
    fn fill(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let mut chunk = [0; 16 * 1024];
        self.stream
            .set_read_timeout(Some(left))
            .expect("a time-out");
        match self.stream.read(&mut chunk) {
            Ok(0) => self.closed = true,
            Ok(len) if self.web => self.frames.extend(&chunk[..len]),
            Ok(len) => self.received.extend(&chunk[..len]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.closed = true,
        }
        true
    }

    /// Takes the payloads of whole WebSocket frames.
    fn unpack(&mut self) {
        while self.web {
            let short = usize::from(self.frames.get(1).copied().unwrap_or(0) & 0x7F);
            let (head, len) = match (short, self.frames.as_slice()) {
                (126, [_, _, a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
                (127, [_, _, long @ ..]) if long.len() >= 8 => {
                    let long: [u8; 8] = long[..8].try_into().unwrap();
                    (10, usize::try_from(u64::from_be_bytes(long)).unwrap())
                }
                (126 | 127, _) => return,
                (len, _) => (2, len),
            };
            if self.frames.len() < head + len {
                return;
            }
            let frame: Vec<u8> = self.frames.drain(..head + len).collect();
            match frame[0] & 0x0F {
                0 | 2 => self.received.extend(&frame[head..]),
                8 => self.closed = true,
                _ => {}
            }
        }
    }
}
