//! A client's socket: what is to be written, and what has come and is not yet a whole packet.

use crate::wire::{self, Packet};
use anyhow::Context as _;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// How long a broker may take to answer CONNECT and SUBSCRIBE.
const ANSWER: Duration = Duration::from_secs(30);

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    pub(crate) out: Vec<u8>,
    rest: Vec<u8>,
    blocked: bool,
    /// The session was there.
    pub(crate) present: bool,
}

impl Client {
    /// Connects and waits for CONNACK and, with a filter, SUBACK.
    pub(crate) fn connect(
        address: SocketAddr,
        number: usize,
        name: &str,
        clean: bool,
        subscription: Option<(&str, u8)>,
    ) -> anyhow::Result<Self> {
        let mut stream = std::net::TcpStream::from(socket(number)?);
        open(&stream, address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let mut out = Vec::new();
        wire::connect(&mut out, name, clean);
        stream.write_all(&out)?;
        let mut rest = Vec::new();
        let present = match answer(&mut stream, &mut rest)? {
            (0x20, present) => present,
            (other, _) => anyhow::bail!("CONNECT of {name} was answered with {other:#x}"),
        };
        if let Some((filter, qos)) = subscription {
            out.clear();
            wire::subscribe(&mut out, &[filter], qos);
            stream.write_all(&out)?;
            match answer(&mut stream, &mut rest)? {
                (0x90, _) => {}
                (other, _) => anyhow::bail!("SUBSCRIBE of {name} was answered with {other:#x}"),
            }
        }
        stream.set_nonblocking(true)?;
        out.clear();
        Ok(Self {
            stream: TcpStream::from_std(stream),
            out,
            rest,
            blocked: false,
            present,
        })
    }

    /// Subscribes, and waits for SUBACK; nothing else may come meanwhile.
    pub(crate) fn subscribe(&mut self, filters: &[String], qos: u8) -> anyhow::Result<()> {
        wire::subscribe(&mut self.out, filters, qos);
        let mut scratch = [0; 4096];
        let (until, mut done) = (Instant::now() + ANSWER, false);
        while !done {
            anyhow::ensure!(Instant::now() < until, "no SUBACK");
            self.blocked = false;
            self.flush()?;
            self.read(&mut scratch, |packet, _| {
                anyhow::ensure!(matches!(packet, Packet::Suback(0..=2)), "{packet:?}");
                done = true;
                Ok(())
            })?;
            if !done {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        Ok(())
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: usize) -> anyhow::Result<()> {
        registry.register(
            &mut self.stream,
            Token(token),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        Ok(())
    }

    pub(crate) fn writable(&mut self) {
        self.blocked = false;
    }

    /// Whether more may be put in front of the socket.
    pub(crate) fn has_room(&self) -> bool {
        !self.blocked && self.out.len() < 64 * 1024
    }

    /// Writes as far as the socket takes it.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        while !self.blocked && !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(written) => drop(self.out.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.blocked = true,
                Err(error) => return Err(error).context("the broker does not take what is sent"),
            }
        }
        Ok(())
    }

    /// Reads all that is there and hands over its whole packets, with what answers them go into.
    pub(crate) fn read(
        &mut self,
        scratch: &mut [u8],
        mut each: impl FnMut(Packet<'_>, &mut Vec<u8>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        loop {
            let read = match self.stream.read(scratch) {
                Ok(0) => anyhow::bail!("the broker closed a connection"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("reading"),
            };
            let fresh = scratch.get(..read).unwrap_or_default();
            if self.rest.is_empty() {
                let used = packets(fresh, &mut self.out, &mut each)?;
                self.rest
                    .extend_from_slice(fresh.get(used..).unwrap_or_default());
            } else {
                self.rest.extend_from_slice(fresh);
                let used = packets(&self.rest, &mut self.out, &mut each)?;
                self.rest.drain(..used);
            }
            // Edge-triggered: a short read has emptied the socket (epoll(7)).
            if read < scratch.len() {
                return Ok(());
            }
        }
    }
}

fn packets(
    bytes: &[u8],
    out: &mut Vec<u8>,
    each: &mut impl FnMut(Packet<'_>, &mut Vec<u8>) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let mut used = 0;
    while let Some((packet, length)) = wire::parse(bytes.get(used..).unwrap_or_default())? {
        used += length;
        each(packet, out)?;
    }
    Ok(used)
}

/// The loopback addresses in turn, so that ports do not run out.
pub(crate) fn source(number: usize) -> SocketAddr {
    let host = u8::try_from(number / 20_000 % 200).unwrap_or_default() + 1;
    SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0))
}

fn socket(number: usize) -> anyhow::Result<socket2::Socket> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&source(number).into())?;
    Ok(socket)
}

fn open(stream: &std::net::TcpStream, address: SocketAddr) -> anyhow::Result<()> {
    socket2::SockRef::from(stream)
        .connect(&address.into())
        .with_context(|| format!("connecting to {address}"))
}

/// The first byte of the next packet, which must be a good answer, and its session present.
fn answer(stream: &mut std::net::TcpStream, rest: &mut Vec<u8>) -> anyhow::Result<(u8, bool)> {
    let mut chunk = [0; 4096];
    let mut known = false;
    loop {
        let whole = wire::parse(rest)?.map(|(packet, length)| {
            let refused = match packet {
                Packet::Connack { present, code } => {
                    known = present;
                    (code != 0).then_some(code)
                }
                Packet::Suback(code) => (code > 2).then_some(code),
                _ => None,
            };
            (refused, length)
        });
        if let Some((refused, length)) = whole {
            let first = rest.first().copied().unwrap_or_default();
            rest.drain(..length);
            return match refused {
                Some(code) => Err(anyhow::anyhow!("refused with code {code:#x}")),
                None => Ok((first, known)),
            };
        }
        let read = stream.read(&mut chunk).context("no answer")?;
        anyhow::ensure!(read > 0, "the broker closed the connection");
        rest.extend_from_slice(chunk.get(..read).unwrap_or_default());
    }
}
