//! A file changed: go by the new ones, as a whole, or keep the old and say why.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::certificates::Certificates;
use super::settings::Settings;
use crate::audit::Event;
use crate::config::Config;
use crate::limits::Limits;
use crate::policy::PolicySet;
use crate::proxy::{Gateway, Snapshot};
use crate::telemetry::Reload;

/// Editors and volume mounts change several files at once; look when they are done.
const SETTLE: Duration = Duration::from_millis(50);
/// Some file systems tell nobody of changes, so look anyway.
const POLL: Duration = Duration::from_secs(10);
/// The link of a mounted `ConfigMap` that is swapped.
const MOUNTED: &str = "..data";

/// Reloads on a change of policies, certificates or the configuration, on SIGHUP and, for file systems that tell nothing, now and then.
pub(super) async fn watch(
    config: Arc<Config>,
    mut settings: Settings,
    gateway: Arc<Gateway>,
    mut hangups: Signal,
    stop: CancellationToken,
) {
    let (tell, mut changed) = mpsc::channel(1);
    let mut certificates = config.listen.tls.clone().map(|tls| Certificates::new(tls, Arc::clone(&gateway)));
    let folders = config.listen.tls.iter().flat_map(|tls| tls.files().folders());
    let _watcher = watcher(folders.chain([&*config.policies]), &tell);
    let _watcher_of_config = config.file.path().and_then(|file| watch_file(file, &tell));
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    poll.tick().await;
    // What changed between the first reading and the watch would otherwise be seen late.
    let mut told = reload(&config, &gateway, None);
    settings.look();
    if let Some(certificates) = &mut certificates {
        certificates.look();
    }
    loop {
        tokio::select! {
            Some(()) = changed.recv() => sleep(SETTLE).await,
            Some(()) = hangups.recv() => {}
            _ = poll.tick() => {}
            () = stop.cancelled() => return,
        }
        told = reload(&config, &gateway, told.as_deref());
        settings.look();
        if let Some(certificates) = &mut certificates {
            certificates.look();
        }
    }
}

/// Watches folders, not their files: a mounted `ConfigMap` or Secret changes by the swap of a symbolic link beside them.
fn watcher<'a>(folders: impl Iterator<Item = &'a Path>, tell: &mpsc::Sender<()>) -> Vec<notify::RecommendedWatcher> {
    let watch = |folder: &Path| {
        let tell = tell.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // One waiting word is enough: whoever takes it looks at everything.
                let _ = tell.try_send(());
            }
        });
        watcher.and_then(|mut watcher| watcher.watch(folder, RecursiveMode::Recursive).map(|()| watcher))
    };
    let said = |error: &notify::Error, folder: &Path| {
        tracing::warn!(%error, folder = %folder.display(), "changes in this folder are only seen every 10 s");
    };
    folders.filter_map(|folder| watch(folder).inspect_err(|error| said(error, folder)).ok()).collect()
}

/// Watches one file in a folder. Beside it there may be logs, of which every line would be a change; and the link by whose swap a
/// mounted `ConfigMap` changes.
fn watch_file(file: &Path, tell: &mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (name, tell) = (file.file_name()?.to_owned(), tell.clone());
    let matters = move |path: &PathBuf| path.file_name().is_some_and(|it| it == name || it == MOUNTED);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(&matters)) {
            // One waiting word is enough: whoever takes it looks at everything.
            let _ = tell.try_send(());
        }
    });
    let watcher = watcher.and_then(|mut watcher| watcher.watch(folder, RecursiveMode::NonRecursive).map(|()| watcher));
    let said = |error: &notify::Error| {
        tracing::warn!(%error, file = %file.display(), "changes of this file are only seen every 10 s");
    };
    watcher.inspect_err(said).ok()
}

/// Swaps the judgement if the files say something new. Returns what was said of files that cannot be taken, so that it
/// is said once and not at every look.
fn reload(config: &Config, gateway: &Gateway, told: Option<&str>) -> Option<String> {
    let now = gateway.snapshot.load();
    match config.read_policies(now.policy.digest())? {
        Ok(read) => {
            let digest = Arc::clone(read.policy.digest());
            warn_of_shadow(&read.policy);
            gateway.judge_by(|now| {
                let limits = Limits::of(&read.policy, Some(&now.limits));
                let policy = read.policy.stopping(now.policy.kills().clone());
                Snapshot::new(
                    read.authenticators.succeeding(&now.authenticators),
                    policy,
                    read.views.clone(),
                    limits,
                    Arc::clone(&now.terms),
                )
            });
            gateway.telemetry.policy(Arc::clone(&digest));
            gateway.telemetry.reloaded(Reload::Ok);
            gateway.telemetry.audit().event(&Event::Reloaded(Arc::clone(&digest)));
            tracing::info!(policy = %digest, "policies reloaded");
            None
        }
        Err(problems) => {
            let said = problems.to_string();
            if told != Some(said.as_str()) {
                gateway.telemetry.reloaded(Reload::Refused);
                gateway.telemetry.audit().event(&Event::ReloadRefused(Arc::clone(now.policy.digest())));
                tracing::error!(policy = %now.policy.digest(), "changed policies refused, the old ones stay in force:\n{said}");
            }
            Some(said)
        }
    }
}

/// A gate that refuses nothing must not be taken for one that does.
pub(super) fn warn_of_shadow(policy: &PolicySet) {
    for server in policy.shadowed() {
        tracing::warn!(%server, "all policies of this server are in shadow: what no rule grants passes, and is recorded");
    }
}
