//! The commands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{json, Value};
use tokio::sync::mpsc::Sender;

use crate::clients::Clients;

const MAX_BURST: usize = 200; // calls that are timed in one go
const STAMP: u64 = 16; // bytes of a message that are not filler

pub struct Jobs {
    pub clients: Arc<Clients>,
    pub queue: usize,
}

/// When a round may be sent.
enum Pace {
    Every(Duration),
    Window(u64),
}

/// CLOCK_MONOTONIC in nanoseconds.
fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it writes to `time` only.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn payload(number: u64, size: u64) -> Bytes {
    let mut data = vec![b'x'; size as usize];
    data[..8].copy_from_slice(&number.to_le_bytes());
    data[8..16].copy_from_slice(&now().to_le_bytes());
    data.into()
}

fn no_ack() -> Value {
    json!({"error": "no ack"})
}

impl Jobs {
    async fn may_send(&self, pace: &Pace, number: u64, begin: Instant) -> bool {
        match pace {
            Pace::Every(interval) => {
                let time = begin + *interval * (number - 1) as u32;
                tokio::time::sleep_until(time.into()).await;
                true
            }
            Pace::Window(window) => self.clients.acks.before(number, *window).await,
        }
    }

    /// Does one hand-over after the other.
    async fn for_rounds(
        &self,
        rounds: u64,
        pace: Pace,
        hand_over: impl Fn(u64) -> (u64, u64),
    ) -> Value {
        self.clients.acks.reset();
        let (mut sent, mut refused, mut first, mut last) = (0, 0, 0, 0);
        let begin = Instant::now();
        for number in 1..=rounds {
            if !self.may_send(&pace, number, begin).await {
                return no_ack();
            }
            if number == 1 {
                first = now();
            }
            let (accepted, full) = hand_over(number);
            sent += accepted;
            refused += full;
            last = now();
        }
        json!({"rounds": rounds, "sent": sent, "refused": refused,
               "wall_ns": last - first})
    }

    async fn to_all(&self, rounds: u64, pace: Pace, size: u64) -> Value {
        let hand_over = |number| self.clients.broadcast(&payload(number, size));
        self.for_rounds(rounds, pace, hand_over).await
    }

    async fn to_each(&self, count: usize, rounds: u64, pace: Pace, size: u64) -> Value {
        let clients = self.clients.first(count);
        let hand_over = |number| {
            let room = clients.iter();
            let room = room.filter(|c| c.try_send(payload(number, size)).is_ok());
            let sent = room.count();
            (sent as u64, (clients.len() - sent) as u64)
        };
        self.for_rounds(rounds, pace, hand_over).await
    }

    /// Times bursts that fit into a client's queue, for one client after the other.
    async fn send_cost(&self, calls: u64, size: u64) -> Value {
        let mut clients = self.clients.first(usize::MAX);
        clients.retain(|client| client.capacity() == client.max_capacity());
        let burst = self.queue.min(MAX_BURST);
        let mut total = Duration::ZERO;
        let mut done = 0;
        while done < calls as usize && !clients.is_empty() {
            let client = &clients[done / burst % clients.len()];
            let first = done / burst / clients.len() * burst + 1;
            total += time_burst(client, first as u64, burst as u64, size);
            done += burst;
            if !drained(client).await {
                return no_ack();
            }
        }
        match done {
            0 => json!({"ns": null}),
            _ => json!({"ns": total.as_nanos() as f64 / done as f64}),
        }
    }

    pub async fn obey(&self, line: &str) -> Value {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        let numbers: Result<Vec<u64>, _> = words.map(str::parse).collect();
        let numbers = numbers.unwrap_or_else(|_| vec![0]);
        let micros = Duration::from_micros;
        match (name, &numbers[..]) {
            ("count", []) => json!({"clients": self.clients.len()}),
            (_, [.., size]) if *size < STAMP => unknown(line),
            ("broadcast", &[rounds, interval, size]) => {
                self.to_all(rounds, Pace::Every(micros(interval)), size)
                    .await
            }
            ("closed", &[rounds, window, size]) => {
                self.to_all(rounds, Pace::Window(window), size).await
            }
            ("unicast", &[rounds, window, size]) => {
                let pace = Pace::Window(window);
                self.to_each(usize::MAX, rounds, pace, size).await
            }
            ("some", &[count, rounds, interval, size]) => {
                let pace = Pace::Every(micros(interval));
                self.to_each(count as usize, rounds, pace, size).await
            }
            ("sendcost", &[calls, size]) => self.send_cost(calls, size).await,
            _ => unknown(line),
        }
    }
}

fn unknown(line: &str) -> Value {
    json!({"error": format!("unknown command {line:?}")})
}

fn time_burst(client: &Sender<Bytes>, first: u64, count: u64, size: u64) -> Duration {
    let messages = (first..first + count).map(|number| payload(number, size));
    let messages: Vec<Bytes> = messages.collect();
    let start = Instant::now();
    for message in messages {
        let _ = client.try_send(message);
    }
    start.elapsed()
}

/// Waits until a client's queue is empty.
async fn drained(client: &Sender<Bytes>) -> bool {
    let limit = Instant::now() + Duration::from_secs(30);
    while client.capacity() < client.max_capacity() {
        if Instant::now() > limit {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    true
}
