//! fastwebsockets on tokio and hyper, on one thread: for each client a bounded channel
//! and a task that writes from it. A client whose channel is full misses the message.
//!
//! The protocol on stdin and stdout is in bench/README.md.

mod clients;
mod jobs;

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use fastwebsockets::upgrade::{self, UpgradeFut};
use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError, WebSocketWrite,
};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt, AsyncWrite, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use clients::Clients;
use jobs::Jobs;

async fn write_messages<S: AsyncWrite + Unpin>(
    mut writer: WebSocketWrite<S>,
    mut queue: mpsc::Receiver<Bytes>,
) {
    while let Some(data) = queue.recv().await {
        let frame = Frame::binary(Payload::Borrowed(&data));
        if writer.write_frame(frame).await.is_err() {
            return;
        }
    }
}

/// Until the client closes. What it sends are acks, never pings, so that nothing has
/// to be answered.
async fn serve_client(
    upgraded: UpgradeFut,
    clients: Arc<Clients>,
) -> Result<(), WebSocketError> {
    let (reader, writer) = upgraded.await?.split(tokio::io::split);
    let mut reader = FragmentCollectorRead::new(reader);
    let (client, queue) = clients.enter();
    let writing = tokio::spawn(write_messages(writer, queue));
    let mut obligation = |_| async { Ok::<_, Infallible>(()) };
    let result = loop {
        match reader.read_frame(&mut obligation).await {
            Ok(frame) if frame.opcode == OpCode::Close => break Ok(()),
            Ok(frame) if frame.opcode == OpCode::Binary => {
                clients.acks.take(&frame.payload)
            }
            Ok(_) => {}
            Err(error) => break Err(error),
        }
    };
    clients.leave(client);
    writing.abort();
    result
}

async fn respond(
    mut request: Request<Incoming>,
    clients: Arc<Clients>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    match upgrade::upgrade(&mut request) {
        Ok((response, upgraded)) => {
            tokio::spawn(serve_client(upgraded, clients));
            Ok(response)
        }
        Err(_) => {
            let mut response = Response::new(Empty::new());
            *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
            Ok(response)
        }
    }
}

async fn serve_connection(stream: TcpStream, clients: Arc<Clients>) {
    let service = service_fn(|request| respond(request, clients.clone()));
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

async fn accept(listener: TcpListener, clients: Arc<Clients>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve_connection(stream, clients.clone()));
            }
            Err(error) => eprintln!("accept: {error}"),
        }
    }
}

/// At the end of stdin the process ends, while a job runs, too.
async fn read_lines(lines: mpsc::Sender<String>) {
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = input.next_line().await {
        if line.trim() == "quit" || lines.send(line).await.is_err() {
            break;
        }
    }
    std::process::exit(0);
}

/// The value after `--name` on the command line.
fn option(name: &str, default: usize) -> usize {
    let mut words = std::env::args().skip_while(|word| word != name);
    let value = words.nth(1);
    value.map_or(default, |value| value.parse().expect(name))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let port = option("--port", 0) as u16;
    let queue = option("--queue", 256);
    let clients = Arc::new(Clients::new(queue));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("ready {}", listener.local_addr()?.port());
    tokio::spawn(accept(listener, clients.clone()));
    let (sender, mut lines) = mpsc::channel(16);
    tokio::spawn(read_lines(sender));
    let jobs = Jobs { clients, queue };
    while let Some(line) = lines.recv().await {
        println!("{}", jobs.obey(&line).await);
    }
    Ok(())
}
