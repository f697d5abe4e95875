//! A place on loopback that leads to a server and can be broken: cut off as if the server's process had been killed, and back.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Leads to a server for as long as it is not cut off. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Shim {
    pub(crate) address: SocketAddr,
    to: SocketAddr,
    carrying: Option<JoinHandle<()>>,
}

impl Drop for Shim {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Shim {
    /// It can only be called where a runtime is.
    pub(crate) fn start(to: SocketAddr) -> Self {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into(), 1024);
        let address = listener.local_addr().expect("it is bound");
        Self { address, to, carrying: Some(tokio::spawn(carry(listener, to))) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Ends every connection, and refuses new ones.
    pub(crate) fn cut(&mut self) {
        self.carrying.take().into_iter().for_each(|carrying| carrying.abort());
    }

    /// Leads there again.
    pub(crate) fn restore(&mut self) {
        self.carrying = Some(tokio::spawn(carry(listen(self.address, 1024), self.to)));
    }
}

fn listen(address: SocketAddr, backlog: u32) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("it is new");
    socket.bind(address).expect("a free port");
    socket.listen(backlog).expect("it is bound")
}

async fn carry(listener: TcpListener, to: SocketAddr) {
    // With it goes every connection.
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        connections.spawn(async move {
            if let Ok(mut far) = TcpStream::connect(to).await {
                // Whichever side breaks off, the other hears of it by the close.
                drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
            }
        });
    }
}
