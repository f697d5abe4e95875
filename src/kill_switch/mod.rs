//! The kill switch: what operators stop at once, by a file or over the admin port, whatever the policies say.
//!
//! It only ever denies. A file that cannot be taken leaves the last one in force and raises an alarm; one that is gone
//! cannot be taken.

mod file;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::audit::{Event, KillFacts};
use crate::clock;
use crate::config::{self, KillApi, KillSwitchConfig};
use crate::diagnostic::Diagnostics;
use crate::policy::{Kill, Kills};
use crate::proxy::{Gateway, Snapshot};
use crate::secret::{Reference, Unreadable};
use crate::telemetry::Reload;

use file::{Look, Watched};

/// The switch of one gate.
#[derive(Debug)]
pub struct KillSwitch {
    gateway: Arc<Gateway>,
    /// Where the credential of its users is kept.
    key: Option<Reference>,
    /// The file in which it keeps what they have stopped.
    state: Option<PathBuf>,
    /// The file that operators write. Apart from the rest: it may hang, and users must not.
    file: Mutex<Option<Watched>>,
    stopped: Mutex<Stopped>,
}

/// What is stopped, by who said so.
#[derive(Debug)]
struct Stopped {
    by_file: Kills,
    by_api: Kills,
}

/// Why a request to the switch changes nothing.
#[derive(Debug)]
pub enum KillError {
    /// It says nothing that could be stopped.
    Unclear(Diagnostics),
    /// It names a server that is not behind this gate.
    Elsewhere(String),
    /// Nothing of that is stopped by this way.
    NotStopped,
    /// It is in force, but would not be after a restart.
    NotKept(io::Error),
    /// What is written cannot be changed, so all stays as it was.
    NotChanged(io::Error),
}

/// A shorter credential could be guessed.
const SHORTEST_KEY: usize = 20;
/// How often the file is looked at: what stands in it at two looks is in force, well within a second.
const LOOK: Duration = Duration::from_millis(200);

impl KillSwitch {
    /// Reads what is stopped, and stops it before anybody is served.
    ///
    /// # Errors
    /// It cannot be known what is stopped, or nobody could change it.
    pub fn open(config: &KillSwitchConfig, gateway: &Arc<Gateway>) -> Result<Self, Diagnostics> {
        let mut found = Diagnostics::new();
        let file = config.file.as_ref().and_then(|path| found.take(Watched::open(path)));
        let by_api = config.api.as_ref().and_then(|api| found.take(opened(api)));
        if !found.is_empty() {
            return Err(found);
        }
        let (file, by_file) = file.unzip();
        let stopped = Stopped { by_file: by_file.unwrap_or_default(), by_api: by_api.unwrap_or_default() };
        let switch = Self {
            gateway: Arc::clone(gateway),
            key: config.api.as_ref().map(|api| api.key.clone()),
            state: config.api.as_ref().map(|api| api.state.clone()),
            file: Mutex::new(file),
            stopped: Mutex::new(stopped),
        };
        switch.apply(&switch.lock());
        Ok(switch)
    }

    /// What its users must show; `None` if there is nothing for users here.
    pub fn credential(&self) -> Option<Result<crate::secret::Secret, Unreadable>> {
        self.key.as_ref().map(Reference::read)
    }

    /// Stops something. It is stopped when this returns, and stays so.
    ///
    /// # Errors
    /// It is not, or would not be after a restart.
    pub fn kill(&self, request: &[u8]) -> Result<Kill, KillError> {
        let kill = config::kill(request).map_err(KillError::Unclear)?.since(clock::wall());
        if let Some(elsewhere) = kill.server().filter(|server| !self.is_here(server)) {
            let here = self.gateway.routes.served().iter().map(|served| served.name.as_str()).collect::<Vec<_>>();
            let is = if here.len() == 1 { "is" } else { "are" };
            let here = here.join(", ");
            return Err(KillError::Elsewhere(format!("{elsewhere} is not behind this gate, but {here} {is}")));
        }
        let mut stopped = self.lock();
        stopped.by_api = stopped.by_api.without(&kill).with(kill.clone());
        self.apply(&stopped);
        self.keep(&stopped.by_api).map_err(KillError::NotKept)?;
        Ok(kill)
    }

    /// Lets something go on that was stopped by [`Self::kill`], and says who had stopped it, and why.
    ///
    /// # Errors
    /// It stays stopped.
    pub fn unkill(&self, request: &[u8]) -> Result<Kill, KillError> {
        let kill = config::kill(request).map_err(KillError::Unclear)?;
        let mut stopped = self.lock();
        let lifted = stopped.by_api.about_the_same(&kill).cloned().ok_or(KillError::NotStopped)?;
        let left = stopped.by_api.without(&kill);
        self.keep(&left).map_err(KillError::NotChanged)?;
        stopped.by_api = left;
        self.apply(&stopped);
        Ok(lifted)
    }

    /// What is stopped now: by the file, and over the admin port.
    pub fn stopped(&self) -> (Kills, Kills) {
        let (stopped, now) = (self.lock(), clock::wall());
        (stopped.by_file.at(now), stopped.by_api.at(now))
    }

    fn lock(&self) -> MutexGuard<'_, Stopped> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what users have stopped, but for what is over.
    fn keep(&self, kills: &Kills) -> io::Result<()> {
        self.state.as_ref().map_or(Ok(()), |path| config::write_kill_file(path, &kills.at(clock::wall())))
    }

    /// Looks at the file, and at what is over by now.
    fn look(&self) {
        let seen = self.file.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(Watched::look);
        let mut stopped = self.lock();
        match seen {
            None | Some(Look::Same) => {}
            Some(Look::New(kills)) => {
                stopped.by_file = kills;
                self.gateway.telemetry.kill_switch(Reload::Ok);
            }
            Some(Look::Broken(problems)) => {
                self.gateway.telemetry.kill_switch(Reload::Refused);
                tracing::error!(
                    "the kill switch's file cannot be taken, what it stopped before stays stopped:\n{problems}"
                );
            }
        }
        self.apply(&stopped);
    }

    /// Judges by what is stopped now, if that is something else than before.
    fn apply(&self, stopped: &Stopped) {
        let kills = stopped.by_file.and(&stopped.by_api).at(clock::wall());
        let before = self.gateway.snapshot.load().policy.kills().clone();
        if kills.are(&before) {
            return;
        }
        self.gateway.judge_by(|now| Snapshot { policy: Arc::new(now.policy.stopping(kills.clone())), ..now.clone() });
        self.gateway.routes.served().iter().for_each(|served| served.state.tell());
        self.gateway.telemetry.stopped(&kills);
        self.say(&before, &kills);
    }

    fn say(&self, before: &Kills, now: &Kills) {
        let new = |kill: &&Kill, known: &Kills| !known.iter().any(|known| known.told() == kill.told());
        for kill in now.iter().filter(|kill| new(kill, before)) {
            tracing::warn!(kill = %kill.told(), rule = %kill.rule(), "kill switch: stopped");
            self.record(kill, Event::Killed);
            if let Some(server) = kill.server().filter(|server| !self.is_here(server)) {
                tracing::warn!(server, rule = %kill.rule(), "the kill switch names a server that is not behind this gate");
            }
        }
        for kill in before.iter().filter(|kill| new(kill, now)) {
            tracing::warn!(kill = %kill.told(), rule = %kill.rule(), "kill switch: goes on again");
            self.record(kill, Event::Unkilled);
        }
    }

    /// Whether a server of this name is behind this gate.
    fn is_here(&self, server: &str) -> bool {
        self.gateway.routes.served().iter().any(|served| served.name.as_str() == server)
    }

    fn record(&self, kill: &Kill, event: fn(KillFacts) -> Event) {
        let facts = KillFacts { what: kill.told().to_string(), rule: kill.rule().clone() };
        self.gateway.telemetry.audit().event(&event(facts));
    }
}

/// What was kept, and that more can be. Whoever could not switch must know before it is needed.
fn opened(api: &KillApi) -> Result<Kills, Diagnostics> {
    let kills = file::kept(&api.state)?;
    file::can_be_written(&api.state, &kills)?;
    file::is_usable(&api.key, SHORTEST_KEY)?;
    Ok(kills)
}

/// Keeps the switch in step with its file and the clock.
pub async fn watch(switch: Option<Arc<KillSwitch>>, stop: CancellationToken) {
    let Some(switch) = switch else {
        return;
    };
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = stop.cancelled() => return,
        }
        let looking = Arc::clone(&switch);
        // A file system that hangs must not hold up a worker.
        if let Err(error) = tokio::task::spawn_blocking(move || looking.look()).await {
            tracing::error!(%error, "the kill switch could not look at its file");
        }
    }
}
