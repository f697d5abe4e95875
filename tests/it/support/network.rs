//! A network of a test's own, with a name server that does as it is told.
//!
//! A system asks its name servers at port 53 and nowhere else, and has one list of them. So the test runs anew, as a
//! process in namespaces where nobody else is: there it may have both.

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::DEADLINE;

/// Set where the test runs anew.
const WITHIN: &str = "IT_WITHIN_ITS_OWN_NETWORK";

/// What must be so before it does.
const PREPARE: &str = r#"
ip link set lo up
mount --bind "$1/resolv.conf" /etc/resolv.conf
mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf
shift
exec "$@"
"#;

/// Whether this runs in a network of its own already. Where it does not, the test of this module and name does so until it
/// has ended; one that fails there, or cannot have a network, fails here.
pub(crate) fn is_its_own(module: &str, name: &str) -> bool {
    if env::var_os(WITHIN).is_some() {
        return true;
    }
    let home = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| std::fs::write(home.path().join(name), text).expect("it can be written");
    write("resolv.conf", "nameserver 127.0.0.1\n");
    write("nsswitch.conf", "hosts: files dns\n");
    let (_, module) = module.split_once("::").expect("a test is in a module");
    let ran = as_root(home.path()).args(["--exact", &format!("{module}::{name}"), "--nocapture"]).output();
    let ran = ran.expect("unshare is there");
    let said = format!("{}\n{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(
        said.contains("running 1 test"),
        "this test needs a network namespace: run it as root, or as one who may `sudo -n`\n{said}"
    );
    assert!(ran.status.success(), "in a network of its own:\n{said}");
    false
}

/// What runs these tests, in namespaces of its own.
fn as_root(home: &Path) -> Command {
    let tests = env::current_exe().expect("a test knows its program");
    let mut command = if is_root() {
        Command::new("unshare")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "--preserve-env", "unshare"]);
        sudo
    };
    // What it says is told again with a backtrace, which would push aside why it failed.
    let set = [&format!("{WITHIN}=1"), "RUST_BACKTRACE=0"];
    command.args(["--net", "--mount", "env"]).args(set).args(["sh", "-ec", PREPARE, "sh"]).arg(home).arg(tests);
    command
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// What a name server says to whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    /// Every name leads there.
    At(Ipv4Addr),
    /// It cannot say.
    Fails,
    /// Nothing at all.
    Nothing,
}

/// For so many seconds what it says holds.
pub(crate) const TTL: u32 = 1;

/// The one name server. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct NameServer {
    says: Arc<Mutex<Says>>,
    asked: watch::Receiver<usize>,
    answering: JoinHandle<()>,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

impl NameServer {
    pub(crate) async fn start(says: Says) -> Self {
        let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 53))).await.expect("nobody else is here");
        let (says, (count, asked)) = (Arc::new(Mutex::new(says)), watch::channel(0));
        let answering = tokio::spawn(answer(socket, Arc::clone(&says), count));
        Self { says, asked, answering }
    }

    pub(crate) fn says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    /// Waits until it is asked once more, and has said what it has to say.
    pub(crate) async fn is_asked(&self) -> bool {
        let mut asked = self.asked.clone();
        let before = *asked.borrow_and_update();
        timeout(DEADLINE, asked.wait_for(|count| *count > before)).await.is_ok()
    }
}

async fn answer(socket: UdpSocket, says: Arc<Mutex<Says>>, count: watch::Sender<usize>) {
    let mut query = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut query).await {
        let answer = reply(&query[..length], *says.lock().unwrap());
        if let Some(answer) = answer {
            socket.send_to(&answer, from).await.expect("loopback takes it");
        }
        if asks_v4(&query[..length]) {
            count.send_modify(|count| *count += 1);
        }
    }
}

/// Whether it asks for an address, of the internet. For those of the other kind it asks at the same time.
fn asks_v4(query: &[u8]) -> bool {
    let name = query[12..].iter().position(|byte| *byte == 0);
    name.is_some_and(|end| query[12 + end..].starts_with(&[0, 0, 1, 0, 1]))
}

/// An answer to the one question of a query (RFC 1035, 4.1).
fn reply(query: &[u8], says: Says) -> Option<Vec<u8>> {
    let (flags, address) = match says {
        Says::At(address) => ([0x81, 0x80], Some(address)),
        Says::Fails => ([0x81, 0x82], None),
        Says::Nothing => return None,
    };
    let name = query[12..].iter().position(|byte| *byte == 0)? + 1;
    let question = &query[12..12 + name + 4];
    let found = address.filter(|_| asks_v4(query));
    let mut answer = [&query[..2], &flags, &[0, 1, 0, u8::from(found.is_some()), 0, 0, 0, 0], question].concat();
    if let Some(address) = found {
        // The name is the one of the question; an address, of the internet.
        answer.extend([0xc0, 12, 0, 1, 0, 1]);
        answer.extend(TTL.to_be_bytes());
        answer.extend([0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}
