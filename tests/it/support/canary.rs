//! A place on loopback that nobody has any business at: it counts who comes.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Canary {
    pub(crate) address: SocketAddr,
    came: watch::Receiver<usize>,
    accepting: JoinHandle<()>,
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Canary {
    /// Another address than that of everything else here, so that nobody comes by mistake.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.2:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (count, came) = watch::channel(0);
        let accepting = tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                count.send_modify(|count| *count += 1);
            }
        });
        Self { address, came, accepting }
    }

    /// How many connections were made to it so far.
    pub(crate) fn visits(&self) -> usize {
        *self.came.borrow()
    }
}
