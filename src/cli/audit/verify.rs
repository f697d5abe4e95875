//! `tollgate audit verify`: whether a log is what was signed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::super::output;
use super::{key, read};
use crate::audit::{Beginning, Expected, Proof, Tampering, Verified, VerifyingKey, verify};

/// Exits with 0 if nothing was changed and all is signed, 1 if nothing was changed but the end is not signed yet, 2 if it
/// cannot be said, and with a number of its own for what was done: 10 unreadable, 11 edited, 12 missing, 13 reordered,
/// 14 forged checkpoint, 15 rewritten, 16 truncated, 17 foreign.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder of segments, a file of records, or a proof
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// The verifying key, or a file that it is in
    #[arg(long, value_name = "KEY", value_parser = key)]
    key: VerifyingKey,
    /// A checkpoint that was kept elsewhere; may be given several times
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Take a log whose first segments were taken away, and say nothing of them
    #[arg(long)]
    partial: bool,
    /// For whom to write it
    #[arg(long, value_enum, default_value_t = Form::Human)]
    format: Form,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Form {
    /// A line
    Human,
    /// One JSON object
    Json,
}

pub(super) fn run(args: &Args) -> ExitCode {
    if let Some(proof) = proof(&args.log) {
        return proved(&proof, &args.key);
    }
    let mut notes = Vec::new();
    for path in &args.checkpoint {
        match read(path) {
            Ok(note) => notes.push(note),
            Err(error) => return output::failed(&format!("{} cannot be read: {error}", path.display())),
        }
    }
    let beginning = if args.partial { Beginning::Any } else { Beginning::First };
    let expected = Expected { key: args.key.clone(), notes, beginning };
    let found = match verify(&args.log, &expected) {
        Ok(found) => found,
        Err(error) => return output::failed(&format!("{} cannot be read: {error}", args.log.display())),
    };
    let code = match &found {
        Err(tampering) => tampering.kind.code(),
        Ok(verified) if verified.unsigned > 0 || verified.torn > 0 => output::NO,
        Ok(_) => 0,
    };
    output::answer(&match args.format {
        Form::Human => human(&found),
        Form::Json => machine(&found),
    });
    ExitCode::from(code)
}

/// A file that is a proof.
fn proof(path: &Path) -> Option<Proof> {
    Proof::parse(&read(path).ok()?)
}

fn proved(proof: &Proof, key: &VerifyingKey) -> ExitCode {
    match proof.verify(key) {
        Ok(checkpoint) => {
            output::answer(&String::from_utf8_lossy(&proof.record));
            output::note(&format!(
                "this record is in the log {} at index {}, by its checkpoint of {} lines",
                checkpoint.origin, proof.index, checkpoint.size
            ));
            ExitCode::SUCCESS
        }
        Err(kind) => {
            output::note(&format!("error: it proves nothing: {}", kind.word()));
            ExitCode::from(kind.code())
        }
    }
}

fn human(found: &Result<Verified, Tampering>) -> String {
    match found {
        Err(tampering) => format!("TAMPERED: {tampering}"),
        Ok(Verified { first, size, covered, unsigned, lost, torn, .. }) => {
            let mut text = format!("intact: {} lines, of which checkpoints cover all up to {covered}", size - first);
            // Writing to a String cannot fail.
            if *unsigned > 0 {
                let _ = write!(text, "; {unsigned} behind the last checkpoint are not signed yet");
            }
            if *torn > 0 {
                let _ = write!(text, "; {torn} bytes at the end are no whole line");
            }
            if *lost > 0 {
                let _ = write!(text, "; {lost} records are missing by the gate's own account");
            }
            text
        }
    }
}

fn machine(found: &Result<Verified, Tampering>) -> String {
    let value = match found {
        Err(Tampering { kind, index, file }) => {
            json!({ "intact": false, "kind": kind.word(), "index": index, "file": file.display().to_string() })
        }
        Ok(Verified { first, size, covered, unsigned, checkpoints, lost, torn }) => json!({
            "intact": true, "first": first, "size": size, "covered": covered, "unsigned": unsigned,
            "checkpoints": checkpoints, "lost": lost, "torn": torn,
        }),
    };
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Kind;

    #[test]
    fn help_tells_the_number_of_each_kind() {
        use clap::Args as _;
        let help = Args::augment_args(clap::Command::new("verify")).render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for kind in Kind::ALL {
            let told = format!("{} {}", kind.code(), kind.word().replace('-', " "));
            assert!(help.contains(&told), "{told} is not in {help}");
        }
    }
}
