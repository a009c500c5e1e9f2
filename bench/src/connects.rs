//! Connections a second: CONNECT, CONNACK, DISCONNECT and the next, with so many at once.

use crate::peer::Peer;
use crate::system;
use crate::wire::{self, Packet};
use anyhow::Context as _;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

/// How many are under way at once.
const AT_ONCE: usize = 64;

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connects {
    /// A second.
    pub(crate) rate: f64,
    /// Microseconds of the broker's CPU time for each, its end included.
    pub(crate) cpu: f64,
    pub(crate) load_busy: f64,
}

struct Attempt {
    stream: TcpStream,
    greeted: bool,
    got: Vec<u8>,
}

/// Connects `count` times, each with a name of its own.
pub(crate) fn run(peer: &Peer, count: usize) -> anyhow::Result<Connects> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(AT_ONCE * 2);
    let mut attempts: Vec<Attempt> = Vec::new();
    let (mut begun, mut ended) = (0, 0);
    let (start, broker, own) = (Instant::now(), peer.cpu()?, system::own_cpu()?);
    for place in 0..AT_ONCE {
        attempts.push(begin(peer, &poll, place)?);
        begun += 1;
    }
    while ended < count {
        poll.poll(&mut events, Some(Duration::from_secs(1)))?;
        anyhow::ensure!(
            start.elapsed() < Duration::from_secs(120),
            "{ended} of {count} connected"
        );
        for event in &events {
            let place = event.token().0;
            let Some(attempt) = attempts.get_mut(place) else {
                continue;
            };
            if attempt.go(begun - 1)? {
                ended += 1;
                *attempt = begin(peer, &poll, place)?;
                begun += 1;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(Connects {
        rate: ended as f64 / seconds,
        cpu: (peer.cpu()? - broker).as_secs_f64() * 1e6 / ended as f64,
        load_busy: (system::own_cpu()? - own).as_secs_f64() / seconds,
    })
}

fn begin(peer: &Peer, poll: &Poll, place: usize) -> anyhow::Result<Attempt> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&peer.address.into()) {
        Err(error)
            if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
        {
            return Err(error).context("connecting");
        }
        _ => {}
    }
    let mut stream = TcpStream::from_std(socket.into());
    poll.registry().register(
        &mut stream,
        Token(place),
        Interest::READABLE | Interest::WRITABLE,
    )?;
    Ok(Attempt {
        stream,
        greeted: false,
        got: Vec::new(),
    })
}

impl Attempt {
    /// One step; true when it was accepted and has said good-bye.
    fn go(&mut self, number: usize) -> anyhow::Result<bool> {
        if !self.greeted {
            if let Some(error) = self.stream.take_error()? {
                return Err(error).context("connecting");
            }
            if self.stream.peer_addr().is_err() {
                return Ok(false);
            }
            let mut out = Vec::new();
            wire::connect(
                &mut out,
                &format!("c-{number}-{}", self.stream.local_addr()?.port()),
                true,
            );
            self.stream.write_all(&out).context("CONNECT")?;
            self.greeted = true;
        }
        let mut chunk = [0; 256];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => anyhow::bail!("a connection was closed before CONNACK"),
                Ok(read) => self
                    .got
                    .extend_from_slice(chunk.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("reading CONNACK"),
            }
        }
        match wire::parse(&self.got)? {
            None => Ok(false),
            Some((Packet::Connack { code: 0, .. }, _)) => {
                self.stream
                    .write_all(&wire::DISCONNECT)
                    .context("DISCONNECT")?;
                Ok(true)
            }
            Some((other, _)) => anyhow::bail!("CONNECT was answered with {other:?}"),
        }
    }
}
