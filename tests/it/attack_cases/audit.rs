//! Cases about what the audit log has of a call, and about what is done to it afterwards; each is put to a gate with a log of
//! its own. The corpus has another word for `failure` (`on_failure`), and one exit code for all kinds of tampering where `verify`
//! has one for each.

use std::fs;
use std::process::Command;

use super::case::Case;
use super::judge::judge;
use super::*;
use crate::audit::failure::{disk, dropped};
use crate::audit::{Audited, lines, segments, tollgate, verified};
use crate::support::until;

/// What is done to a log.
type Deed = fn(&mut Vec<String>);

/// So often a case is put that says how often.
const REPEATS: u32 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_recorded_of_a_call_stays_or_is_missed() {
    let cases: Vec<_> = Case::load().into_iter().filter(Case::is_of_audit).collect();
    let mut table = Table::new().only(&cases);
    for case in &cases {
        let audited = Audited::new();
        let mut bench = bench(&audited, if case.id == "AUD-002" { "failure: allow" } else { "" }).await;
        let outcome = match case.id.as_str() {
            "AUD-002" => bench.with_a_full_disk(case, &audited).await,
            "AUD-003" => bench.refused_and_recorded(case, &audited).await,
            "AUD-004" => bench.killed(case, &audited).await,
            "AUD-005" => bench.tampered_with(case, &audited).await,
            other => panic!("nothing here puts {other}"),
        };
        table.enter(case, "recorded", outcome, (&bench.gate.decisions, 0)).await;
    }
    table.finish(&cases);
}

async fn bench(audited: &Audited, said: &str) -> Bench {
    let upstream = Upstream::start().await;
    let gate = audited.world(&upstream.url(), &format!("mode: before_call, {said}")).start().await;
    Bench { setting: Setting::Default, gate, upstream, canary: Canary::start().await }
}

impl Bench {
    /// It is carried, what is missing is counted, and once there is room the log says how much that is.
    async fn with_a_full_disk(&mut self, case: &Case, audited: &Audited) -> Result<(), String> {
        disk(&self.gate, "0");
        self.run_once(case, Run::Fresh).await?;
        // A decision and an outcome.
        if !until(DEADLINE, async || dropped(&self.gate).await >= 2.0).await {
            return Err("nothing counts as lost".to_owned());
        }
        let missing = dropped(&self.gate).await;
        disk(&self.gate, "unlimited");
        let told =
            async || audited.of_kind("gap").iter().filter_map(|gap| gap["lost"].as_f64()).sum::<f64>() >= missing;
        if until(DEADLINE, told).await { Ok(()) } else { Err(format!("no gap tells of {missing}")) }
    }

    /// What is refused before anybody has judged it is recorded with its reason, and who asked.
    async fn refused_and_recorded(&mut self, case: &Case, audited: &Audited) -> Result<(), String> {
        self.run_once(case, Run::Fresh).await?;
        self.gate.terminate().await;
        let refused = audited.of_kind("decision");
        match refused.as_slice() {
            [only]
                if only["refused"] == "batch_not_allowed"
                    && only["principal"] == "alice"
                    && only["peer"].is_string() =>
            {
                Ok(())
            }
            other => Err(format!("recorded is {other:?}")),
        }
    }

    /// Killed while it writes, it has all that was answered, and what it left is verified and gone on with.
    async fn killed(&mut self, case: &Case, audited: &Audited) -> Result<(), String> {
        let mut connection = Connection::open(self.gate.data).await;
        for _ in 0..case.repeat.unwrap_or(1).min(REPEATS) {
            let seen = self.exchange(case, &mut connection, self.upstream.count()).await;
            judge(case, &seen, &self.upstream.address.to_string())?;
        }
        let answered = self.upstream.count();
        let killed = Command::new("kill").args(["-KILL", &self.gate.pid().to_string()]).status();
        assert!(
            killed.unwrap().success() && self.gate.exit_code(DEADLINE).await.is_none(),
            "SIGKILL, and no other end"
        );
        let recorded = audited.of_kind("decision").iter().filter(|record| record["effect"] == "allow").count();
        if recorded < answered {
            return Err(format!("{answered} answers and {recorded} decisions"));
        }
        let mut next = bench(audited, "").await;
        next.run_once(case, Run::Fresh).await?;
        next.gate.terminate().await;
        if audited.verify(&[]) == 0 { Ok(()) } else { Err("the log is not verified".to_owned()) }
    }

    /// Each deed has its code in both verifiers, and the first wrong index is named.
    async fn tampered_with(&mut self, case: &Case, audited: &Audited) -> Result<(), String> {
        for _ in 0..4 {
            self.run_once(case, Run::Fresh).await?;
        }
        self.gate.terminate().await;
        let kept = audited.home.path().join("kept");
        fs::write(&kept, tollgate(&["audit", "tail", &audited.log().display().to_string(), "--checkpoint"]).stdout)
            .unwrap();
        let only = segments(&audited.log()).pop().unwrap();
        let whole = lines(&only);
        let deeds: [(&str, i32, u64, Deed); 5] = [
            ("edit", 11, 2, |lines| lines[2] = lines[2].replace("alice", "alicf")),
            ("delete", 12, 3, |lines| drop(lines.remove(3))),
            ("reorder", 13, 3, |lines| lines.swap(3, 4)),
            ("truncate_tail", 16, 6, |lines| lines.truncate(6)),
            ("duplicate", 13, 4, |lines| lines.insert(3, lines[3].clone())),
        ];
        for (deed, code, index, done) in deeds {
            let mut lines = whole.clone();
            done(&mut lines);
            fs::write(&only, lines.join("\n") + "\n").unwrap();
            let kept = ["--checkpoint", kept.to_str().unwrap()];
            let found = verified(&audited.log(), &audited.key, &kept);
            let log = audited.log().display().to_string();
            let told =
                tollgate(&[&["audit", "verify", &log, "--key", &audited.key, "--format", "json"], &kept[..]].concat());
            let told: Value = serde_json::from_slice(&told.stdout).unwrap_or_default();
            if found != code || told["index"].as_u64() != Some(index) {
                return Err(format!("{deed}: {found} and {told} instead of {code} at {index}"));
            }
        }
        Ok(())
    }
}
