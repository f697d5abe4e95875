//! A place on loopback that leads to a server and can be broken: cut off as if the server's process had been killed, and back; or
//! one that is slow, or takes no connection at all.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// Leads to a server for as long as it is not cut off. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Shim {
    pub(crate) address: SocketAddr,
    to: SocketAddr,
    delay: Duration,
    carrying: Option<Carrying>,
}

/// What carries, until this is dropped.
#[derive(Debug)]
struct Carrying {
    until: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Shim {
    /// It can only be called where a runtime is.
    pub(crate) fn start(to: SocketAddr) -> Self {
        Self::slow(to, Duration::ZERO)
    }

    /// Whatever is said there is heard so much later.
    pub(crate) fn slow(to: SocketAddr, delay: Duration) -> Self {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into(), 1024);
        let address = listener.local_addr().expect("it is bound");
        Self { address, to, delay, carrying: Some(Carrying::begin(listener, to, delay)) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Ends every connection, and refuses new ones. Nothing is taken any more when it is done: what is said after it was said
    /// to nobody.
    pub(crate) async fn cut(&mut self) {
        if let Some(Carrying { until, task }) = self.carrying.take() {
            drop(until);
            task.await.expect("it ends");
        }
    }

    /// Leads there again.
    pub(crate) fn restore(&mut self) {
        self.carrying = Some(Carrying::begin(listen(self.address, 1024), self.to, self.delay));
    }
}

impl Carrying {
    fn begin(listener: TcpListener, to: SocketAddr, delay: Duration) -> Self {
        let (until, ended) = oneshot::channel();
        Self { until, task: tokio::spawn(carry(listener, to, delay, ended)) }
    }
}

fn listen(address: SocketAddr, backlog: u32) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("it is new");
    socket.bind(address).expect("a free port");
    socket.listen(backlog).expect("it is bound")
}

async fn carry(listener: TcpListener, to: SocketAddr, delay: Duration, mut ended: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        let mut near = tokio::select! {
            _ = &mut ended => break,
            Ok((near, _)) = listener.accept() => near,
        };
        connections.spawn(async move {
            let Ok(mut far) = TcpStream::connect(to).await else {
                return;
            };
            // Whichever side breaks off, the other hears of it by the close.
            if delay.is_zero() {
                drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
            } else {
                let ((near_said, near), (far_said, far)) = (near.into_split(), far.into_split());
                tokio::select! {
                    () = late(near_said, far, delay) => {}
                    () = late(far_said, near, delay) => {}
                }
            }
        });
    }
    drop(listener);
    connections.shutdown().await;
}

/// What is said on one side is heard later on the other.
async fn late(mut said: OwnedReadHalf, mut heard: OwnedWriteHalf, delay: Duration) {
    let mut piece = vec![0; 1 << 16];
    while let Ok(length @ 1..) = said.read(&mut piece).await {
        sleep(delay).await;
        if heard.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

/// A place where whoever connects hears nothing at all: its queue is full, and nobody takes from it.
#[derive(Debug)]
pub(crate) struct BlackHole {
    pub(crate) address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl BlackHole {
    pub(crate) async fn start() -> Self {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into(), 1);
        let address = listener.local_addr().expect("it is bound");
        let mut queue = Vec::new();
        while let Ok(connected) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            queue.push(connected.expect("it listens"));
        }
        Self { address, _listener: listener, _queue: queue }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}
