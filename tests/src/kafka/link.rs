//! The way between the service and Kafka, on which packets can be dropped: nothing is refused,
//! nothing is closed, nothing arrives.
//!
//! As root the firewall drops the packets of Kafka's port for the service. Otherwise the service
//! speaks to Kafka through a relay, which then reads nothing, forwards nothing and takes no
//! connection; its short backlog makes the kernel drop what tries to connect.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::run;

const WAIT: Duration = Duration::from_millis(20);

/// The way to one Kafka.
#[derive(Debug)]
pub(super) struct Link {
    /// Where the service finds Kafka.
    pub(super) advertised: u16,
    /// Where Kafka listens.
    pub(super) listening: u16,
    /// The relay's word that nothing passes; none with the firewall.
    relay: Option<Arc<AtomicBool>>,
}

impl Link {
    pub(super) fn new() -> Self {
        let port = run::free_port();
        if std::env::var_os("ISTHMUS_NO_FIREWALL").is_none() && firewall_works(port) {
            for rule in rules(port) {
                run::at_end(&format!("iptables -w -D {} 2>/dev/null", rule.join(" ")));
            }
            return Self {
                advertised: port,
                listening: port,
                relay: None,
            };
        }
        eprintln!("dropped packets: no firewall here (iptables as root), a relay takes its place");
        let listening = run::free_port();
        let dropping = Arc::new(AtomicBool::new(false));
        let listener = listen(port);
        {
            let dropping = Arc::clone(&dropping);
            std::thread::spawn(move || accept(&listener, listening, &dropping));
        }
        Self {
            advertised: port,
            listening,
            relay: Some(dropping),
        }
    }

    pub(super) fn drop_packets(&self) {
        match &self.relay {
            Some(dropping) => dropping.store(true, Ordering::Relaxed),
            None => {
                for rule in rules(self.listening) {
                    assert!(iptables("-I", &rule), "the firewall takes no rule");
                }
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.listening));
                let answer = TcpStream::connect_timeout(&address, Duration::from_millis(200));
                assert!(answer.is_err(), "the firewall lets packets through");
            }
        }
    }

    pub(super) fn pass_packets(&self) {
        match &self.relay {
            Some(dropping) => dropping.store(false, Ordering::Relaxed),
            None => {
                for rule in rules(self.listening) {
                    assert!(iptables("-D", &rule), "the firewall keeps its rule");
                }
            }
        }
    }
}

/// Both directions.
fn rules(port: u16) -> [Vec<String>; 2] {
    ["--dport", "--sport"].map(|side| {
        let rule = format!("INPUT -i lo -p tcp {side} {port} -j DROP");
        rule.split(' ').map(str::to_owned).collect()
    })
}

fn iptables(action: &str, rule: &[String]) -> bool {
    let mut command = Command::new("iptables");
    command.args(["-w", action]).args(rule);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn firewall_works(port: u16) -> bool {
    rules(port)
        .iter()
        .all(|rule| iptables("-I", rule) && iptables("-D", rule))
}

fn listen(port: u16) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
    socket.set_reuse_address(true).expect("socket");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket.bind(&address.into()).expect("bind");
    socket.listen(4).expect("listen");
    socket.into()
}

fn accept(listener: &TcpListener, to: u16, dropping: &Arc<AtomicBool>) {
    listener.set_nonblocking(true).expect("socket");
    loop {
        if dropping.load(Ordering::Relaxed) {
            std::thread::sleep(WAIT);
            continue;
        }
        let Ok((client, _)) = listener.accept() else {
            std::thread::sleep(WAIT);
            continue;
        };
        client.set_nonblocking(false).expect("socket");
        // Refused: the client's connection ends as well.
        if let Ok(kafka) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) {
            relay(&client, &kafka, dropping);
            relay(&kafka, &client, dropping);
        }
    }
}

fn relay(from: &TcpStream, to: &TcpStream, dropping: &Arc<AtomicBool>) {
    let (mut from, mut to) = (
        from.try_clone().expect("socket"),
        to.try_clone().expect("socket"),
    );
    let dropping = Arc::clone(dropping);
    from.set_nodelay(true).expect("socket");
    std::thread::spawn(move || {
        let mut bytes = vec![0; 65_536];
        while let Ok(count) = from.read(&mut bytes) {
            while dropping.load(Ordering::Relaxed) {
                std::thread::sleep(WAIT);
            }
            if count == 0 || to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
}
