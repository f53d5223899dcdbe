//! Pools of connections that do nothing: ours and its peers.

use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender};
use crossbeam_queue::ArrayQueue;
use parking_lot::{Condvar, Mutex};
use tierpool::MemoryManager;

/// Something that lends connections.
pub trait Subject: Send + Sync {
    /// The name in labels and tables.
    fn name(&self) -> &'static str;

    /// One checkout and its checkin.
    fn cycle(&self) -> u64;

    /// A checkout, `work`, and the checkin.
    fn hold(&self, work: &mut dyn FnMut());
}

/// Ours, at its defaults: fair, with deadline, holders and counters.
pub struct Tierpool(pub tierpool::Pool<MemoryManager>);

impl Tierpool {
    pub fn new(connections: u32) -> Self {
        Tierpool(tierpool::Pool::builder().max_size(connections).build(MemoryManager).unwrap())
    }
}

impl Subject for Tierpool {
    fn name(&self) -> &'static str {
        "tierpool"
    }

    fn cycle(&self) -> u64 {
        *self.0.get().unwrap()
    }

    fn hold(&self, work: &mut dyn FnMut()) {
        let _conn = self.0.get().unwrap();
        work();
    }
}

/// r2d2 without its check of each checkout, which is not what is compared here.
pub struct R2d2(pub r2d2::Pool<MemoryManager>);

impl R2d2 {
    pub fn new(connections: u32) -> Self {
        let builder = r2d2::Pool::builder().max_size(connections).test_on_check_out(false);
        R2d2(builder.build(MemoryManager).unwrap())
    }
}

impl Subject for R2d2 {
    fn name(&self) -> &'static str {
        "r2d2"
    }

    fn cycle(&self) -> u64 {
        *self.0.get().unwrap()
    }

    fn hold(&self, work: &mut dyn FnMut()) {
        let _conn = self.0.get().unwrap();
        work();
    }
}

/// What most people would write first. Boxed as a real connection would be, so that the moves cost the same.
#[allow(clippy::vec_box)]
pub struct MutexedVec {
    free: Mutex<Vec<Box<u64>>>,
    returned: Condvar,
}

impl MutexedVec {
    pub fn new(connections: u32) -> Self {
        let free = Mutex::new((0..connections).map(|_| Box::new(0)).collect());
        MutexedVec { free, returned: Condvar::new() }
    }

    fn take(&self) -> Box<u64> {
        let mut free = self.free.lock();
        loop {
            if let Some(conn) = free.pop() {
                return conn;
            }
            self.returned.wait(&mut free);
        }
    }

    fn put(&self, conn: Box<u64>) {
        self.free.lock().push(conn);
        self.returned.notify_one();
    }
}

impl Subject for MutexedVec {
    fn name(&self) -> &'static str {
        "mutexed vector"
    }

    fn cycle(&self) -> u64 {
        let conn = self.take();
        let value = *conn;
        self.put(conn);
        value
    }

    fn hold(&self, work: &mut dyn FnMut()) {
        let conn = self.take();
        work();
        self.put(conn);
    }
}

/// The bare limit: no waiting, no bookkeeping, no validation. Empty, it is asked again and again.
pub struct BareQueue(ArrayQueue<Box<u64>>);

impl BareQueue {
    pub fn new(connections: u32) -> Self {
        let queue = ArrayQueue::new(connections as usize);
        for _ in 0..connections {
            assert!(queue.push(Box::new(0)).is_ok());
        }
        BareQueue(queue)
    }

    fn take(&self) -> Box<u64> {
        loop {
            match self.0.pop() {
                Some(conn) => return conn,
                None => thread::yield_now(),
            }
        }
    }
}

impl Subject for BareQueue {
    fn name(&self) -> &'static str {
        "bare queue"
    }

    fn cycle(&self) -> u64 {
        let conn = self.take();
        let value = *conn;
        assert!(self.0.push(conn).is_ok());
        value
    }

    fn hold(&self, work: &mut dyn FnMut()) {
        let conn = self.take();
        work();
        assert!(self.0.push(conn).is_ok());
    }
}

/// The bare limit where callers wait, for which the queue has no means.
pub struct BareChannel(Sender<Box<u64>>, Receiver<Box<u64>>);

impl BareChannel {
    pub fn new(connections: u32) -> Self {
        let (sender, receiver) = crossbeam_channel::bounded(connections as usize);
        for _ in 0..connections {
            sender.send(Box::new(0)).unwrap();
        }
        BareChannel(sender, receiver)
    }
}

impl Subject for BareChannel {
    fn name(&self) -> &'static str {
        "bare channel"
    }

    fn cycle(&self) -> u64 {
        let conn = self.1.recv().unwrap();
        let value = *conn;
        self.0.send(conn).unwrap();
        value
    }

    fn hold(&self, work: &mut dyn FnMut()) {
        let conn = self.1.recv().unwrap();
        work();
        self.0.send(conn).unwrap();
    }
}

/// The places of the subjects in [`cyclers`], [`holders`] and [`pooled`], as far as they are in there.
pub const OURS: usize = 0;
pub const R2D2: usize = 1;
pub const VECTOR: usize = 2;
pub const LIMIT: usize = 3;

/// The subjects for cycles without a hold.
pub fn cyclers(connections: u32) -> Vec<Arc<dyn Subject>> {
    let mut subjects = pools(connections);
    subjects.push(Arc::new(BareQueue::new(connections)));
    subjects
}

/// The subjects for callers that wait.
pub fn holders(connections: u32) -> Vec<Arc<dyn Subject>> {
    let mut subjects = pools(connections);
    subjects.push(Arc::new(BareChannel::new(connections)));
    subjects
}

/// Ours and r2d2's.
pub fn pooled(connections: u32) -> Vec<Arc<dyn Subject>> {
    pools(connections).into_iter().take(VECTOR).collect()
}

fn pools(connections: u32) -> Vec<Arc<dyn Subject>> {
    vec![
        Arc::new(Tierpool::new(connections)),
        Arc::new(R2d2::new(connections)),
        Arc::new(MutexedVec::new(connections)),
    ]
}
