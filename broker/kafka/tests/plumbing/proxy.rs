//! A connection to Kafka that can be cut at a chosen request.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

#[derive(Default)]
struct State {
    /// Cut at this kind of request, and whether Kafka still gets it.
    armed: Option<(i16, bool)>,
    cut: bool,
    open: Vec<TcpStream>,
}

pub(crate) struct Proxy(Arc<(Mutex<State>, Condvar)>);

impl Proxy {
    pub(crate) fn start(port: u16, target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let state: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let mut state = shared.0.lock().unwrap();
                let Ok(kafka) = TcpStream::connect(("127.0.0.1", target)) else {
                    continue;
                };
                if state.cut {
                    continue;
                }
                state
                    .open
                    .extend([client.try_clone().unwrap(), kafka.try_clone().unwrap()]);
                drop(state);
                let (back_from, back_to) =
                    (kafka.try_clone().unwrap(), client.try_clone().unwrap());
                let shared = Arc::clone(&shared);
                thread::spawn(move || forward(&shared, client, kafka));
                thread::spawn(move || answers(back_from, back_to));
            }
        });
        Self(state)
    }

    pub(crate) fn cut_at(&self, kind: i16, arrives: bool) {
        self.0.0.lock().unwrap().armed = Some((kind, arrives));
    }

    pub(crate) fn wait_cut(&self) {
        let state = self.0.0.lock().unwrap();
        let limit = Duration::from_secs(30);
        assert!(
            self.0
                .1
                .wait_timeout_while(state, limit, |state| !state.cut)
                .unwrap()
                .0
                .cut
        );
    }

    pub(crate) fn heal(&self) {
        let mut state = self.0.0.lock().unwrap();
        state.cut = false;
        state.armed = None;
    }
}

fn answers(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

fn forward(shared: &(Mutex<State>, Condvar), mut from: TcpStream, mut to: TcpStream) {
    let mut size = [0; 4];
    while from.read_exact(&mut size).is_ok() {
        let mut frame = vec![0; u32::from_be_bytes(size) as usize];
        if from.read_exact(&mut frame).is_err() {
            break;
        }
        let kind = i16::from_be_bytes([frame[0], frame[1]]);
        let armed = shared.0.lock().unwrap().armed;
        let cut = armed.filter(|(armed, _)| *armed == kind);
        if let Some((_, arrives)) = cut {
            let mut state = shared.0.lock().unwrap();
            state.cut = true;
            // The answers' way is closed first, so that none slips through.
            state.open.iter().for_each(|stream| {
                let _ = stream.shutdown(if arrives {
                    Shutdown::Read
                } else {
                    Shutdown::Both
                });
            });
            if arrives {
                let _ = to.write_all(&size).and_then(|()| to.write_all(&frame));
                thread::sleep(Duration::from_millis(100));
                state.open.iter().for_each(|stream| {
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
            state.open.clear();
            shared.1.notify_all();
            return;
        }
        if to
            .write_all(&size)
            .and_then(|()| to.write_all(&frame))
            .is_err()
        {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
