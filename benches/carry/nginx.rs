//! nginx with buffering off, where it is installed: what the field's own pass-through makes of a stream.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::Failure;
use crate::pace::NGINX;
use crate::process::{Core, Pinning, Process};

/// Its process, and the folder that it writes to.
pub(crate) struct Nginx {
    pub(crate) process: Process,
    _folder: TempDir,
}

impl Nginx {
    /// In front of this server; `None` where there is no nginx.
    pub(crate) fn start(upstream: &Process, pinning: Pinning) -> Result<Option<Self>, Failure> {
        let found = Command::new(NGINX).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
        match found {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        let folder = TempDir::new()?;
        // It cannot say which port it took, so it is told one that was free a moment ago.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let at = folder.path().display();
        let temporary =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {at};"));
        let config = format!(
            "daemon off; master_process off; worker_processes 1; pid {at}/pid; error_log stderr;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n  access_log off; {}\n  upstream server {{ server {}; keepalive 64; }}\n  \
             server {{\n    listen {address};\n    location / {{\n      proxy_pass http://server;\n      \
             proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n      proxy_buffering off;\n    }}\n  }}\n}}\n",
            temporary.join(" "),
            upstream.address,
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, config)?;
        let mut command = Command::new(NGINX);
        command.arg("-p").arg(folder.path()).arg("-e").arg("stderr").arg("-c").arg(&file);
        let process = Process::start_at(NGINX, command, address, (pinning, Core::Proxy))?;
        Ok(Some(Self { process, _folder: folder }))
    }
}
