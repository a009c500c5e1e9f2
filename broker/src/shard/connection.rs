//! A connection's task: bytes from the socket to the core, and the outbox to the socket.
//!
//! A TCP socket is written directly when a batch is done; its task waits for room only where the
//! socket is full. A slow reader costs its own outbox and nothing else. A connection holds no read
//! buffer while nothing is half read.

use super::Worker;
use super::link::{Link, READ_AGAIN, Way};
use crate::handshake::Pipe;
use isthmus_core::shard::{ConnId, Flow};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

/// How long the last bytes of a connection may take.
const GOODBYE: Duration = Duration::from_secs(5);
/// Packets and bytes that a connection may still send when too much waits for Kafka, so that
/// acknowledgements and PINGREQ pass.
const ALLOWED_PACKETS: u32 = 64;
const ALLOWED_BYTES: usize = 64 * 1024;

/// What a batch of input came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Read,
    Wait(Duration),
    Pause,
    Close,
}

/// Serves a connection until it ends. Its CONNECT has been handed to the core.
pub(super) async fn serve(
    worker: Rc<RefCell<Worker>>,
    scratch: Rc<RefCell<Vec<u8>>>,
    id: ConnId,
    link: Rc<Link>,
    way: Way,
    buffered: Vec<u8>,
) {
    match way {
        Way::Tcp(stream) => tcp(&worker, &scratch, id, &link, &stream, buffered).await,
        Way::Pipe(stream) => pipe(&worker, &scratch, id, &link, stream, buffered).await,
    }
    let mut worker = worker.borrow_mut();
    worker.act(|core, view, fx| core.lost(view, id, fx));
    worker.links.remove(&id);
    worker.finish_batch();
}

/// Hands over the packets in front of `bytes`; yields how much of it was used.
fn process(worker: &Rc<RefCell<Worker>>, id: ConnId, link: &Link, bytes: &[u8]) -> (usize, Next) {
    let mut worker = worker.borrow_mut();
    let most = worker.shared.config.limits.max_packet_size as usize;
    let mut taken = 0;
    let mut next = Next::Read;
    while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
        if link.closing.get() {
            next = Next::Close;
            break;
        }
        if !link.resumed.get() {
            next = Next::Pause;
            break;
        }
        if worker.shared.congested() && over_allowance(link) {
            link.held.set(true);
            next = Next::Pause;
            break;
        }
        // Past the bound one packet at a time: each counts against the allowance.
        let at_most = if worker.shared.congested() {
            1
        } else {
            u32::MAX
        };
        let fed = worker.feed(id, rest, most, at_most);
        taken += fed.bytes;
        link.packets
            .set(link.packets.get().saturating_add(fed.packets));
        link.bytes.set(link.bytes.get().saturating_add(fed.bytes));
        link.goodbye.set(fed.goodbye);
        match fed.flow {
            None => break,
            Some(Flow::Go) => {}
            Some(Flow::Pause) => {
                link.resumed.set(false);
                link.paused.set(true);
                next = Next::Pause;
                break;
            }
            Some(Flow::Wait(ms)) => {
                next = Next::Wait(Duration::from_millis(ms));
                break;
            }
            Some(Flow::Close) => {
                next = Next::Close;
                break;
            }
        }
    }
    if !worker.shared.congested() {
        link.packets.set(0);
        link.bytes.set(0);
    }
    worker.finish_batch();
    (taken, next)
}

fn over_allowance(link: &Link) -> bool {
    link.packets.get() >= ALLOWED_PACKETS
        || (link.packets.get() > 0 && link.bytes.get() >= ALLOWED_BYTES)
}

/// Bytes half read, and when reading goes on.
struct Reading {
    rest: Vec<u8>,
    until: Option<tokio::time::Instant>,
    next: Next,
}

impl Reading {
    /// Hands over what is there.
    fn go(&mut self, worker: &Rc<RefCell<Worker>>, id: ConnId, link: &Link) {
        let (taken, next) = process(worker, id, link, &self.rest);
        self.rest.drain(..taken.min(self.rest.len()));
        if self.rest.is_empty() {
            self.rest = Vec::new();
        }
        self.decide(next);
    }

    /// Hands over what was just read; only what is half read is kept.
    fn took(&mut self, worker: &Rc<RefCell<Worker>>, id: ConnId, link: &Link, fresh: &[u8]) {
        if self.rest.is_empty() {
            let (taken, next) = process(worker, id, link, fresh);
            self.rest = fresh.get(taken..).unwrap_or_default().to_vec();
            self.decide(next);
        } else {
            self.rest.extend_from_slice(fresh);
            self.go(worker, id, link);
        }
    }

    fn decide(&mut self, next: Next) {
        self.until = match next {
            Next::Wait(time) => Some(tokio::time::Instant::now() + time),
            _ => None,
        };
        self.next = next;
    }

    fn reads(&self) -> bool {
        self.next == Next::Read
    }
}

async fn tcp(
    worker: &Rc<RefCell<Worker>>,
    scratch: &Rc<RefCell<Vec<u8>>>,
    id: ConnId,
    link: &Rc<Link>,
    stream: &TcpStream,
    buffered: Vec<u8>,
) {
    let mut reading = Reading {
        rest: buffered,
        until: None,
        next: Next::Pause,
    };
    worker.borrow_mut().write(id);
    loop {
        if link.closing.get() {
            // Who has said DISCONNECT, and has been answered all that came before it, waits for
            // nothing more: the socket is closed at once.
            let answered = {
                let mut worker = worker.borrow_mut();
                worker
                    .core
                    .outbox(id)
                    .is_none_or(|outbox| outbox.is_empty())
            };
            if !(link.goodbye.get() && answered) {
                let _ = tokio::time::timeout(GOODBYE, last_bytes(worker, id, stream)).await;
            }
            return;
        }
        if link.resumed.get() && !link.held.get() && reading.next == Next::Pause {
            reading.go(worker, id, link);
            continue;
        }
        let until = reading.until.unwrap_or_else(tokio::time::Instant::now);
        tokio::select! {
            () = link.wake.notified() => {}
            () = tokio::time::sleep_until(until), if reading.until.is_some() => reading.go(worker, id, link),
            ready = stream.writable(), if link.blocked.get() => {
                if ready.is_err() {
                    return;
                }
                link.blocked.set(false);
                let mut worker = worker.borrow_mut();
                worker.write(id);
                worker.finish_batch();
            }
            ready = stream.readable(), if reading.reads() => {
                if ready.is_err() {
                    return;
                }
                let mut scratch = scratch.borrow_mut();
                match stream.try_read(&mut scratch) {
                    Ok(0) => return,
                    Ok(read) => reading.took(worker, id, link, scratch.get(..read).unwrap_or_default()),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        }
    }
}

async fn last_bytes(worker: &Rc<RefCell<Worker>>, id: ConnId, stream: &TcpStream) {
    loop {
        {
            let mut worker = worker.borrow_mut();
            let Some(outbox) = worker.core.outbox(id) else {
                break;
            };
            match stream.try_write(outbox) {
                Ok(written) => drop(outbox.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
            if outbox.is_empty() {
                break;
            }
        }
        if stream.writable().await.is_err() {
            return;
        }
    }
    // What the client still sends is read away, so that closing does not reset what it is sent.
    let socket = socket2::SockRef::from(stream);
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let mut sink = [0; 1024];
    let _ = tokio::time::timeout(Duration::from_millis(500), async {
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut sink) {
                Ok(0) => break,
                Err(error) if error.kind() != ErrorKind::WouldBlock => break,
                _ => {}
            }
        }
    })
    .await;
}

async fn pipe(
    worker: &Rc<RefCell<Worker>>,
    scratch: &Rc<RefCell<Vec<u8>>>,
    id: ConnId,
    link: &Rc<Link>,
    pipe: Box<dyn Pipe>,
    buffered: Vec<u8>,
) {
    let (mut from, mut to) = tokio::io::split(pipe);
    let mut reading = Reading {
        rest: buffered,
        until: None,
        next: Next::Pause,
    };
    let mut outgoing: Vec<u8> = Vec::new();
    let mut sent = 0;
    loop {
        if sent == outgoing.len() {
            outgoing.clear();
            sent = 0;
            let mut worker = worker.borrow_mut();
            if let Some(outbox) = worker.core.outbox(id) {
                std::mem::swap(outbox, &mut outgoing);
            }
            if outgoing.len() >= READ_AGAIN {
                worker.act(|core, view, fx| core.written(view, id, fx));
                worker.finish_batch();
            }
        }
        if link.closing.get() {
            let left = outgoing.get(sent..).unwrap_or_default();
            let _ = tokio::time::timeout(GOODBYE, to.write_all(left)).await;
            return;
        }
        if link.resumed.get() && !link.held.get() && reading.next == Next::Pause {
            reading.go(worker, id, link);
            continue;
        }
        let until = reading.until.unwrap_or_else(tokio::time::Instant::now);
        let left = outgoing.get(sent..).unwrap_or_default();
        tokio::select! {
            () = link.wake.notified() => {}
            () = tokio::time::sleep_until(until), if reading.until.is_some() => reading.go(worker, id, link),
            written = to.write(left), if !left.is_empty() => match written {
                Ok(written) if written > 0 => sent += written,
                _ => return,
            },
            read = fresh(&mut from, scratch), if reading.reads() => match read {
                Some(read) => {
                    let scratch = scratch.borrow();
                    reading.took(worker, id, link, scratch.get(..read).unwrap_or_default());
                }
                None => return,
            },
        }
    }
}

/// Reads into the thread's buffer, which is held for no longer than a look; `None` at the end. It
/// is to be used before anything else is awaited.
async fn fresh(from: &mut (impl AsyncRead + Unpin), scratch: &RefCell<Vec<u8>>) -> Option<usize> {
    poll_fn(|cx| {
        let mut scratch = scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        let read = Pin::new(&mut *from).poll_read(cx, &mut buffer);
        read.map(|read| {
            read.ok()
                .map(|()| buffer.filled().len())
                .filter(|read| *read > 0)
        })
    })
    .await
}
