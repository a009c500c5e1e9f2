//! A client that has passed its handshake: its connection gets a task, and its CONNECT goes to the core,
//! or it is brought to whoever has its slot by now.

use super::{Worker, connection, link};
use crate::handshake::{Accepted, Transport};
use crate::links::bring_home;
use crate::listener::ConnectionGuard;
use isthmus_core::shard::{ConnId, Connecting};
use isthmus_mqtt::{Packet, Version};
use link::Link;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering;

/// A connection that its task is to serve.
struct Started {
    id: ConnId,
    link: Rc<Link>,
    way: link::Way,
    guard: Option<ConnectionGuard>,
    buffered: Vec<u8>,
}

/// Takes a client.
pub(super) fn accept(
    worker: &Rc<RefCell<Worker>>,
    scratch: &Rc<RefCell<Vec<u8>>>,
    accepted: Accepted,
) {
    let shared = worker.borrow().shared.clone();
    // The slot was given away while the client was on its way here.
    if !matches!(accepted.transport, Transport::Pipe(_)) && shared.is_elsewhere(&accepted.client_id)
    {
        tokio::task::spawn_local(bring_home(shared, accepted));
        return;
    }
    let Some(started) = worker.borrow_mut().start(accepted) else {
        return;
    };
    let Started {
        id,
        link,
        way,
        guard,
        buffered,
    } = started;
    let (worker, scratch) = (worker.clone(), scratch.clone());
    tokio::task::spawn_local(async move {
        connection::serve(worker, scratch, id, link, way, buffered).await;
        drop(guard);
    });
}

impl Worker {
    fn start(&mut self, accepted: Accepted) -> Option<Started> {
        let Accepted {
            transport,
            buffered,
            client_id,
            username,
            peer,
            guard,
            assigned,
            ..
        } = accepted;
        // The handshake has decoded it before.
        let frame = isthmus_mqtt::frame(&buffered, usize::MAX).ok().flatten()?;
        let length = frame.len;
        let Ok(Packet::Connect(connect)) = isthmus_mqtt::decode(frame, Version::V311) else {
            return None;
        };
        let id = ConnId(self.shared.next_conn.fetch_add(1, Ordering::Relaxed));
        let mut connecting = Connecting::new(id, &connect, &client_id, username, peer.to_string());
        connecting.assigned = assigned;
        let buffered = buffered.get(length..).unwrap_or_default().to_vec();
        let link = Rc::new(Link::waiting());
        let way = link.attach(transport)?;
        self.links.insert(id, link.clone());
        self.act(|core, view, fx| core.connect(view, connecting, fx));
        Some(Started {
            id,
            link,
            way,
            guard,
            buffered,
        })
    }
}
