//! What the worker and a connection's task share: the socket for writing at once, and who waits
//! for whom.

use super::Worker;
use crate::handshake::{Pipe, Transport};
use isthmus_core::shard::ConnId;
use std::cell::{Cell, OnceCell};
use std::io::ErrorKind;
use std::rc::Rc;
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// A connection on its shard's runtime.
pub(super) enum Way {
    /// The socket; the worker writes to it as well.
    Tcp(Rc<TcpStream>),
    /// The pipe to the WebSocket's task, or to another pod.
    Pipe(Box<dyn Pipe>),
}

/// What the worker and a connection's task tell each other.
#[derive(Default)]
pub(super) struct Link {
    /// TCP only: for writing directly.
    stream: OnceCell<Rc<TcpStream>>,
    pub(super) wake: Notify,
    /// The core says when reading goes on.
    pub(super) resumed: Cell<bool>,
    /// The socket is full.
    pub(super) blocked: Cell<bool>,
    pub(super) closing: Cell<bool>,
    /// The client said DISCONNECT.
    pub(super) goodbye: Cell<bool>,
    /// Used up of the allowance while too much waits for Kafka.
    pub(super) packets: Cell<u32>,
    pub(super) bytes: Cell<usize>,
    pub(super) held: Cell<bool>,
    pub(super) paused: Cell<bool>,
}

impl Link {
    /// A connection whose CONNACK is still to be said.
    pub(super) fn waiting() -> Self {
        let link = Self::default();
        link.paused.set(true);
        link
    }

    /// Takes the connection to this thread's runtime; `None` where that fails.
    pub(super) fn attach(&self, transport: Transport) -> Option<Way> {
        match transport {
            Transport::Tcp(stream) => Some(self.with(stream)),
            Transport::Detached(stream) => Some(self.with(TcpStream::from_std(stream).ok()?)),
            Transport::WebSocket(pipe) => Some(Way::Pipe(Box::new(pipe))),
            Transport::Pipe(pipe) => Some(Way::Pipe(pipe)),
        }
    }

    fn with(&self, stream: TcpStream) -> Way {
        let stream = Rc::new(stream);
        let _ = self.stream.set(stream.clone());
        Way::Tcp(stream)
    }

    pub(super) fn close(&self) {
        self.closing.set(true);
        self.wake.notify_one();
    }

    pub(super) fn resume(&self) {
        self.resumed.set(true);
        self.paused.set(false);
        self.wake.notify_one();
    }

    /// Whether it is the broker who does not read.
    pub(super) fn is_held(&self) -> bool {
        self.held.get() || self.paused.get()
    }

    /// Kafka keeps up again.
    pub(super) fn release_backlog(&self) {
        self.packets.set(0);
        self.bytes.set(0);
        if self.held.replace(false) {
            self.wake.notify_one();
        }
    }
}

impl Worker {
    /// Writes what is in a connection's outbox, as far as the socket takes it.
    pub(super) fn write(&mut self, id: ConnId) {
        let Some(link) = self.links.get(&id).cloned() else {
            return;
        };
        let Some(stream) = link.stream.get() else {
            return link.wake.notify_one();
        };
        loop {
            let Some(outbox) = self.core.outbox(id) else {
                return;
            };
            if outbox.is_empty() {
                break;
            }
            match stream.try_write(outbox) {
                Ok(written) => {
                    let large = outbox.len() >= READ_AGAIN;
                    outbox.drain(..written);
                    // Room that is used all the time stays; the core lets go of the rest.
                    if outbox.is_empty() && outbox.capacity() > MOST_ROOM {
                        *outbox = Vec::new();
                    }
                    if large {
                        self.act(|core, view, fx| core.written(view, id, fx));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    link.blocked.set(true);
                    link.wake.notify_one();
                    return;
                }
                // The reading side sees the end of it.
                Err(_) => {
                    outbox.clear();
                    return link.close();
                }
            }
        }
    }
}

/// An outbox that was larger is given back as soon as it is empty.
const MOST_ROOM: usize = 64 * 1024;

/// Past this the core may have held something back for want of room.
pub(super) const READ_AGAIN: usize = 64 * 1024;
