//! `tollgate health`: whether a running gate is ready, for probes where there is no shell and no curl.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::output;
use crate::config::{self, Overrides};

/// Exits with 0 if the gate is ready, with 1 if it is not or does not answer, and with 2 if it is not known where its
/// admin port is.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Ask only whether the process answers, not whether it is ready for calls
    #[arg(long)]
    live: bool,
    /// The configuration file that the gate runs with [default: ./tollgate.yaml, if there is one]
    #[arg(long, value_name = "FILE", env = "TOLLGATE_CONFIG")]
    config: Option<PathBuf>,
    /// Where its admin port is [default: as the configuration says, or 127.0.0.1:9901]
    #[arg(long, value_name = "ADDR:PORT", env = "TOLLGATE_ADMIN")]
    admin: Option<String>,
}

/// A gate that is silent for longer is not well. Shorter than the patience of those who probe.
const PATIENCE: Duration = Duration::from_secs(2);
/// The largest answer.
const MOST_BYTES: usize = 16 << 10;

pub(super) fn run(args: &Args) -> ExitCode {
    let overrides = Overrides { config: args.config.clone(), admin: args.admin.clone(), ..Overrides::default() };
    let admin = match config::admin_address(&overrides) {
        Ok(admin) => admin,
        Err(problems) => return output::unclear(&problems),
    };
    let path = if args.live { "/livez" } else { "/readyz" };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(problem) => return output::failed(&format!("no runtime: {problem}")),
    };
    let asked = runtime.block_on(async { timeout(PATIENCE, ask(admin, path)).await });
    match asked.unwrap_or_else(|_elapsed| Err(format!("no answer within {} s", PATIENCE.as_secs()).into())) {
        Ok((StatusCode::OK, said)) => {
            output::answer(said.trim_end());
            ExitCode::SUCCESS
        }
        Ok((status, said)) => {
            output::note(&format!("http://{admin}{path} says {}: {}", status.as_u16(), said.trim_end()));
            ExitCode::from(output::NO)
        }
        Err(problem) => {
            output::note(&format!("http://{admin}{path} does not answer: {problem}; `--admin` says where the gate is"));
            ExitCode::from(output::NO)
        }
    }
}

type Problem = Box<dyn std::error::Error + Send + Sync>;

async fn ask(admin: SocketAddr, path: &str) -> Result<(StatusCode, String), Problem> {
    let stream = TcpStream::connect(admin).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header(HOST, admin.to_string()).body(Empty::<Bytes>::new())?;
    let asking = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = collected(Limited::new(body, MOST_BYTES)).await?;
        Ok((head.status, String::from_utf8_lossy(&body).into_owned()))
    };
    // The connection works while the answer is awaited; an error of its own is the answer's, too.
    tokio::select! {
        answer = asking => answer,
        Err(problem) = connection => Err(problem.into()),
    }
}

#[expect(clippy::disallowed_methods, reason = "it is bound by `Limited`")]
async fn collected(body: Limited<hyper::body::Incoming>) -> Result<Bytes, Problem> {
    Ok(body.collect().await?.to_bytes())
}
