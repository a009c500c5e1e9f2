//! What pods say to each other. A stream begins with a byte for what it carries; everything after
//! is frames: length (4 bytes, big-endian), then a record in postcard's encoding behind its format
//! version.

use isthmus_core::record::{self, MessageRecord, RecordError};
use isthmus_core::routes::Kinds;
use serde::{Deserialize, Serialize};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The stream carries live messages and routes.
pub(super) const LIVE: u8 = 1;
/// The stream carries a client.
pub(super) const CLIENT: u8 = 2;

/// The verdict on a client: its slot is served there.
pub(super) const TAKEN: u8 = 1;
/// The slot is not served there.
pub(super) const ELSEWHERE: u8 = 0;

/// A frame may be as large as the largest packet with its properties, and some.
const LARGEST: usize = 512 << 20;

/// From the pod that opened a live stream.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Say<'a> {
    /// Who it is: the first frame.
    Hello {
        node: &'a str,
        start: u64,
    },
    Live {
        #[serde(borrow)]
        message: MessageRecord<'a>,
        /// Shard and token of who waits for an answer.
        answer: Option<(u16, u64)>,
        all: bool,
        by_filter: bool,
        only_online: bool,
        /// Slot, ShareName, inner filter.
        shared: Vec<(u16, &'a str, &'a str)>,
    },
    Route {
        slot: u16,
        filter: &'a str,
        kinds: Kinds,
        number: u64,
    },
    /// It takes this slot's clients from now on, and is about to open it. The routes decide.
    Takes {
        slot: u16,
    },
    Sync {
        shard: u16,
        token: u64,
    },
    Beat,
}

/// From the pod that was linked to.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Answer {
    Took {
        shard: u16,
        token: u64,
        reached: u32,
    },
    Synced {
        shard: u16,
        token: u64,
    },
    Beat,
}

/// A client that comes with its CONNECT.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Client<'a> {
    pub(super) client_id: &'a str,
    pub(super) assigned: bool,
    pub(super) username: Option<&'a str>,
    pub(super) peer: std::net::SocketAddr,
    pub(super) web_socket: bool,
    #[serde(with = "serde_bytes")]
    pub(super) buffered: &'a [u8],
}

/// Appends a frame.
pub(super) fn put<T: Serialize>(frame: &T, to: &mut Vec<u8>) {
    let begin = to.len();
    to.extend_from_slice(&[0; 4]);
    record::append(frame, to);
    // Bounded by the packets that it is made of.
    let length = u32::try_from(to.len() - begin - 4).unwrap_or(u32::MAX);
    if let Some(place) = to.get_mut(begin..begin + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// One frame alone.
pub(super) fn frame<T: Serialize>(frame: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(frame, &mut bytes);
    bytes
}

/// Reads a frame's record.
pub(super) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> io::Result<T> {
    record::decode(bytes).map_err(|error: RecordError| io::Error::other(error))
}

/// Reads frames from a stream, several with one read.
pub(super) struct Frames<R> {
    from: R,
    buffer: Vec<u8>,
    used: usize,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(super) fn new(from: R) -> Self {
        Self {
            from,
            buffer: Vec::new(),
            used: 0,
        }
    }

    /// The next frame's record; `None` at the end of the stream. May be dropped and called again.
    pub(super) async fn next(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            let rest = self.buffer.get(self.used..).unwrap_or_default();
            let whole = match rest.first_chunk::<4>() {
                Some(length) => {
                    let length = u32::from_be_bytes(*length) as usize;
                    if length > LARGEST {
                        return Err(io::Error::other(format!("a frame of {length} bytes")));
                    }
                    (rest.len() >= 4 + length).then_some(length)
                }
                None => None,
            };
            if let Some(length) = whole {
                let begin = self.used + 4;
                self.used = begin + length;
                return Ok(self.buffer.get(begin..begin + length));
            }
            self.buffer.drain(..self.used);
            self.used = 0;
            self.buffer.reserve(16 * 1024);
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }
}
