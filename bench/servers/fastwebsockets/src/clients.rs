//! Who is connected, and what has arrived there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, Notify};

const ACK_TIMEOUT: Duration = Duration::from_secs(30);

/// How many rounds have arrived, as the load client says in messages of its own.
#[derive(Default)]
pub struct Acks {
    sent: AtomicU64,
    complete: AtomicU64,
    changed: Notify,
}

impl Acks {
    pub fn reset(&self) {
        self.sent.store(0, Relaxed);
        self.complete.store(0, Relaxed);
    }

    /// All rounds up to this one have arrived. An ack of an earlier job is left.
    pub fn take(&self, data: &[u8]) {
        let Ok(bytes) = data.try_into() else { return };
        let complete = u64::from_le_bytes(bytes);
        if complete > self.complete.load(Relaxed) && complete <= self.sent.load(Relaxed)
        {
            self.complete.store(complete, Relaxed);
            self.changed.notify_one();
        }
    }

    /// Waits until this round may be sent; false when no ack comes.
    pub async fn before(&self, number: u64, window: u64) -> bool {
        self.sent.store(number, Relaxed);
        while self.complete.load(Relaxed) + window < number {
            let changed = self.changed.notified();
            if tokio::time::timeout(ACK_TIMEOUT, changed).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// Those that are open, in the order of their coming.
pub struct Clients {
    pub acks: Acks,
    queue: usize,
    came: AtomicU64,
    open: Mutex<BTreeMap<u64, mpsc::Sender<Bytes>>>,
}

impl Clients {
    pub fn new(queue: usize) -> Self {
        Self {
            acks: Acks::default(),
            queue,
            came: AtomicU64::new(0),
            open: Mutex::default(),
        }
    }

    /// A client has come: its number, and what is to be written to it.
    pub fn enter(&self) -> (u64, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(self.queue);
        let number = self.came.fetch_add(1, Relaxed);
        self.open.lock().unwrap().insert(number, sender);
        (number, receiver)
    }

    pub fn leave(&self, client: u64) {
        self.open.lock().unwrap().remove(&client);
    }

    pub fn len(&self) -> usize {
        self.open.lock().unwrap().len()
    }

    /// Sends to all: how many had room, and how many had not.
    pub fn broadcast(&self, data: &Bytes) -> (u64, u64) {
        let open = self.open.lock().unwrap();
        let room = open.values().filter(|c| c.try_send(data.clone()).is_ok());
        let sent = room.count();
        (sent as u64, (open.len() - sent) as u64)
    }

    /// The first clients.
    pub fn first(&self, count: usize) -> Vec<mpsc::Sender<Bytes>> {
        self.open
            .lock()
            .unwrap()
            .values()
            .take(count)
            .cloned()
            .collect()
    }
}
