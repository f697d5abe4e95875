//! `tollgate explain`: one decision with all that was looked at, of a call that is described or of one in the log.

mod asked;
mod shown;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::consult::{self, Consulted};
use super::lines::Lines;
use super::{output, told};
use crate::limits::Limits;
use crate::proxy;
use crate::trial::{Entry, Record};

use asked::Described;
use shown::Shown;

/// Exits with 0 if it could be said, 2 if not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    described: Described,
    /// A decision of the log, by its id, as callers and lines have it
    #[arg(long, value_name = "ID", requires = "log", conflicts_with = "Described")]
    decision: Option<String>,
    /// The log that it is in: what `run` writes to standard output, or the folder of an audit log; `-` for standard input
    #[arg(long, value_name = "FILE", requires = "decision")]
    log: Option<PathBuf>,
    /// A policy folder or a configuration file [default: tollgate.yaml, else policies]
    #[arg(long, value_name = "PATH")]
    policies: Option<PathBuf>,
    /// For whom to write it
    #[arg(long, value_enum, default_value_t = Form::Human)]
    format: Form,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Form {
    /// The decision, what the caller hears, and every line looked at
    Human,
    /// One JSON object; README.md describes it
    Json,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let Some(path) = args.policies.clone().or_else(consult::usual) else {
        return output::failed(&"there is neither tollgate.yaml nor policies/ here; say --policies");
    };
    if !path.exists() {
        return output::failed(&format!("{} is not there", path.display()));
    }
    let consulted = match Consulted::read(&path) {
        Ok(consulted) => consulted,
        Err(found) => return output::unclear(&found),
    };
    let shown = match (&args.decision, &args.log) {
        (Some(id), Some(log)) => recorded(id, log, &consulted),
        _ => described(&args.described, &consulted),
    };
    match shown {
        Ok(shown) => {
            output::answer(&match args.format {
                Form::Human => shown.human(&consulted.sources, output::answer_style()),
                Form::Json => shown.json(&consulted.sources),
            });
            ExitCode::SUCCESS
        }
        Err(problem) => output::failed(&problem),
    }
}

/// A call that was described.
fn described(described: &Described, consulted: &Consulted) -> Result<Shown, String> {
    let policy = &consulted.policies.policy;
    let question = described.question(&consulted.against())?;
    let answer = question.put(policy, &Limits::in_one_moment(policy));
    let heard = answer.result.as_ref().err().map(|refusal| proxy::heard(refusal, answer.call.as_deref()));
    Ok(Shown {
        decision: answer.verdict().word(),
        told: told::answer(&answer),
        reason: answer.reason().map(str::to_owned),
        rule: answer.rule().cloned(),
        would_deny: answer.would_deny().map(|(_, rule)| rule.clone()),
        heard,
        steps: question.explain(policy, &answer),
        notes: Vec::new(),
        policy: policy.digest().to_string(),
        recorded: None,
    })
}

/// A call that was made.
fn recorded(id: &str, log: &Path, consulted: &Consulted) -> Result<Shown, String> {
    let record = find(id, log)?;
    let against = consulted.against();
    let digest = against.policy.digest().to_string();
    let Some(then) = record.then() else {
        let (outcome, reason) = (record.outcome(), record.refused().unwrap_or_default());
        return Err(format!("the policy was not asked: the message did not come so far ({outcome}: {reason})"));
    };
    let principal = record.supposed(&against);
    let (now, rule) = record.now(&principal, &against);
    let mut notes =
        vec!["a line holds no arguments, no headers and no address, and limits are not asked anew".to_owned()];
    if record.policy() != digest {
        notes.push(format!("{} decided then; these policies are {digest}, and need not say the same", record.policy()));
    }
    Ok(Shown {
        decision: now.word(),
        told: now.to_string(),
        reason: now.reason().map(str::to_owned),
        rule,
        would_deny: None,
        heard: None,
        steps: principal.map(|principal| record.explain(&principal, &against)).unwrap_or_default(),
        notes,
        policy: digest,
        recorded: Some((record, then)),
    })
}

fn find(id: &str, log: &Path) -> Result<Record, String> {
    let unreadable = |error| format!("{} cannot be read: {error}", log.display());
    let mut lines = Lines::open(log).map_err(unreadable)?;
    while let Some((_, line)) = lines.next().map_err(unreadable)? {
        if let Some(Entry::Decision(record)) = Entry::read(line)
            && record.decision() == id
        {
            return Ok(*record);
        }
    }
    Err(format!("no line of {} is of the decision {id}", log.display()))
}
