//! The threads that serve connections, one for each core. Whatever is asked over a connection is read, decided, sent and answered
//! by one of them, which hands nothing to another core and back.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, RuntimeFlavor};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The threads.
#[derive(Debug)]
pub(super) struct Workers {
    all: Vec<Worker>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// Whoever is served here holds this, too.
    serves: Arc<()>,
    thread: JoinHandle<()>,
}

impl Workers {
    /// Starts them. Where the process is one thread there are none: whoever accepts connections serves them as well.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn start() -> io::Result<Self> {
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::CurrentThread => Self::of(0),
            _ => Self::of(thread::available_parallelism().map_or(1, usize::from)),
        }
    }

    fn of(threads: usize) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let all = (0..threads).map(|number| Worker::start(number, &stop)).collect::<io::Result<_>>()?;
        Ok(Self { all, stop })
    }

    /// Serves a connection where the fewest are served.
    ///
    /// # Errors
    /// The system's: it cannot be moved there.
    pub(super) fn serve<F>(
        &self,
        stream: TcpStream,
        connections: &TaskTracker,
        serve: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(worker) = self.all.iter().min_by_key(|worker| Arc::strong_count(&worker.serves)) else {
            connections.spawn(serve(stream));
            return Ok(());
        };
        // What comes over it wakes the thread that has registered it.
        let (stream, served) = (stream.into_std()?, Arc::clone(&worker.serves));
        let serving = async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => serve(stream).await,
                Err(error) => tracing::warn!(%error, "a connection that was accepted cannot be served"),
            }
            drop(served);
        };
        connections.spawn_on(serving, &worker.runtime);
        Ok(())
    }

    /// Ends them, and what they serve still.
    pub(super) fn end(self) {
        self.stop.cancel();
        for worker in self.all {
            if worker.thread.join().is_err() {
                tracing::error!(thread = "worker", "a thread that served connections has panicked");
            }
        }
    }
}

impl Worker {
    fn start(number: usize, stop: &CancellationToken) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, stop) = (runtime.handle().clone(), stop.clone());
        let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            runtime.block_on(stop.cancelled());
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, serves: Arc::default(), thread })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::net::TcpListener;
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    #[tokio::test]
    async fn a_connection_goes_where_the_fewest_are() {
        let workers = Workers::of(3).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (connections, (tell, mut told)) = (TaskTracker::new(), mpsc::channel(1));
        let mut serve = async || {
            // That it has gone again is heard, too.
            drop(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
            let (stream, _) = listener.accept().await.unwrap();
            let (tell, (end, ended)) = (tell.clone(), oneshot::channel::<()>());
            let serving = async move |stream: TcpStream| {
                // Whoever has registered it hears of it.
                stream.readable().await.unwrap();
                tell.send(thread::current().name().map(str::to_owned)).await.unwrap();
                ended.await.ok();
            };
            workers.serve(stream, &connections, serving).unwrap();
            (told.recv().await.unwrap().unwrap(), end)
        };
        let mut served = BTreeMap::<_, Vec<_>>::new();
        for _ in 0..6 {
            let (at, end) = serve().await;
            served.entry(at).or_default().push(end);
        }
        assert_eq!(served.values().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2]);
        let (left, ends) = served.pop_first().unwrap();
        drop(ends);
        while connections.len() > 4 {
            tokio::task::yield_now().await;
        }
        let [one, other] = [serve().await, serve().await];
        assert_eq!([&one.0, &other.0], [&left; 2]);
        drop((served, one, other));
        connections.close();
        connections.wait().await;
        workers.end();
    }
}
