//! The driver's part: bytes in and out of connections.

use super::client::Got;
use super::{Link, World, with_shard};
use isthmus_core::shard::{ConnId, Connecting, Flow};
use isthmus_mqtt::{Packet, decode, frame};
use std::collections::VecDeque;
use std::sync::Arc;

impl World {
    /// A client opens a connection and writes a CONNECT.
    pub(crate) fn dial(&mut self, client: usize, connect: Vec<u8>) -> ConnId {
        self.next_conn += 1;
        let id = ConnId(self.next_conn);
        let shard = self.shard_for(&self.clients[client].id);
        let unread = VecDeque::from([connect]);
        // An earlier connection stays half open, unless its CONNECT has not been read: read after
        // this one it would take over from it.
        let earlier = self.clients[client]
            .conn
            .filter(|old| self.conns.get(old).is_some_and(|link| !link.admitted));
        if let Some(old) = earlier {
            self.conns.remove(&old);
        }
        self.conns.insert(
            id,
            Link {
                client,
                shard,
                unread,
                reads: true,
                admitted: false,
                wait_until: 0,
            },
        );
        self.clients[client].lost();
        self.clients[client].conn = Some(id);
        id
    }

    /// A client writes to its connection.
    pub(crate) fn write(&mut self, client: usize, bytes: Vec<u8>) {
        if let Some(link) = self.clients[client]
            .conn
            .and_then(|id| self.conns.get_mut(&id))
        {
            link.unread.push_back(bytes);
        }
    }

    /// The server reads one packet.
    pub(super) fn receive(&mut self, id: ConnId) {
        let link = self.conns.get_mut(&id).unwrap();
        let Some(bytes) = link.unread.pop_front() else {
            return;
        };
        let (at, version, client) = (link.shard, self.clients[link.client].version, link.client);
        let found = frame(&bytes, usize::MAX).unwrap().unwrap();
        assert_eq!(found.len, bytes.len());
        let packet = match decode(found, version) {
            Ok(packet) => packet,
            Err(error) => {
                return with_shard!(self, at, |shard, view, fx| shard
                    .malformed(view, id, &error, fx));
            }
        };
        if let Packet::Connect(connect) = &packet {
            (link.reads, link.admitted) = (false, true);
            let client_id = self.clients[client].id.clone();
            let username = connect.username.map(Arc::from);
            let connecting = Connecting::new(id, connect, &client_id, username, "peer".to_owned());
            return with_shard!(self, at, |shard, view, fx| shard
                .connect(view, connecting, fx));
        }
        let flow = with_shard!(self, at, |shard, view, fx| shard
            .received(view, id, &packet, fx));
        let Some(link) = self.conns.get_mut(&id) else {
            return;
        };
        match flow {
            Flow::Go => {}
            Flow::Pause => link.reads = false,
            Flow::Wait(ms) => link.wait_until = self.now + ms,
            Flow::Close => link.unread.clear(),
        }
    }

    /// The clients get what stands in the outboxes of a shard's connections.
    pub(super) fn drain(&mut self, at: usize) {
        let mut touched = Vec::new();
        self.shards[at].take_touched(&mut touched);
        for id in touched {
            self.deliver(at, id);
        }
    }

    fn deliver(&mut self, at: usize, id: ConnId) {
        let Some(outbox) = self.shards[at].outbox(id) else {
            return;
        };
        let bytes = std::mem::take(outbox);
        let Some(link) = self.conns.get(&id) else {
            return;
        };
        let client = link.client;
        if self.clients[client].conn != Some(id) {
            return;
        }
        let answers = self.clients[client].take(&bytes);
        for answer in answers {
            self.write(client, answer);
        }
        with_shard!(self, at, |shard, view, fx| shard.written(view, id, fx));
    }

    /// The server closes: what is in the outbox still goes out.
    pub(super) fn hang_up(&mut self, id: ConnId) {
        let Some(at) = self.conns.get(&id).map(|link| link.shard) else {
            return;
        };
        self.deliver(at, id);
        self.cut(id);
    }

    /// The network connection is gone.
    pub(crate) fn cut(&mut self, id: ConnId) {
        let Some(link) = self.conns.remove(&id) else {
            return;
        };
        let client = &mut self.clients[link.client];
        if client.conn == Some(id) {
            client.lost();
        }
        with_shard!(self, link.shard, |shard, view, fx| shard.lost(view, id, fx));
    }

    /// What a client got since the last call.
    pub(crate) fn got(&mut self, client: usize) -> Vec<Got> {
        std::mem::take(&mut self.clients[client].got)
    }
}
