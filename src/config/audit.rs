//! The audit log, from as written to what it is opened with.

use std::path::Path;
use std::time::Duration;

use super::build::{Span, number, span};
use super::given::reference;
use super::source::{ArgumentsSource, AuditSource, FailureSource, ModeSource, OtlpSource};
use crate::audit::{Arguments, Copied, Destination, Failure, Mode, Settings};
use crate::diagnostic::{Code, Diagnostics, SourceFile, Spanned};

const SYNC: Span = Span(Duration::from_secs(1), Duration::from_millis(10)..=Duration::from_mins(1));
const AGE: Span = Span(Duration::from_hours(24), Duration::from_mins(1)..=Duration::from_hours(24 * 30));
const DEFAULT_BYTES: usize = 64 << 20;
pub(super) const MAX_SEGMENT: u64 = 16 << 30;

/// What the log is opened with; paths are relative to the file.
pub(super) fn build(
    folder: &Path,
    file: &SourceFile,
    written: &Spanned<AuditSource>,
    found: &mut Diagnostics,
) -> Option<Settings> {
    let source = &written.value;
    let to = destination(folder, file, written, found);
    let key = reference(file, &source.key, found);
    let arguments_key = source.arguments_key.as_ref().map(|key| reference(file, key, found));
    let interval = span(file, source.interval.as_ref(), SYNC, found);
    let age = span(file, source.segment_age.as_ref(), AGE, found);
    let bytes = number(file, source.segment_bytes.as_ref(), DEFAULT_BYTES, MAX_SEGMENT, found);
    if let (ModeSource::BeforeCall, Some(interval)) = (source.mode, &source.interval) {
        found.push(
            file.error(Code::IneffectiveMode, interval.referenced, "`interval` says nothing in the mode `before_call`")
                .help("leave it out: every decision is on the disk before its call leaves"),
        );
    }
    if let (Some(Destination::Folder(_)), None, None) = (&to, source.otlp, source.checkpoints) {
        let message =
            "nothing takes checkpoints of the audit log away: whoever has root here can write another history";
        // Its line may hold a key itself, by mistake.
        let problem = file.warning(Code::LocalCheckpoints, written.referenced, message).without_source_line();
        found.push(problem.help(
            "`otlp: checkpoints` sends them to a collector; or let a job keep what `tollgate audit tail --checkpoint` \
             prints, and say `checkpoints: fetched`; or say `checkpoints: here`",
        ));
    }
    Some(Settings {
        to: to?,
        copied: match source.otlp {
            None => Copied::Nothing,
            Some(OtlpSource::Checkpoints) => Copied::Checkpoints,
            Some(OtlpSource::Records) => Copied::Records,
        },
        key: key?,
        arguments_key: match arguments_key {
            Some(key) => Some(key?),
            None => None,
        },
        arguments: match source.arguments {
            None => Arguments::Left,
            Some(ArgumentsSource::Redacted) => Arguments::Redacted,
        },
        mode: match source.mode {
            ModeSource::Interval => Mode::Interval(interval?),
            ModeSource::BeforeCall => Mode::BeforeCall,
        },
        failure: match source.failure {
            FailureSource::Deny => Failure::Deny,
            FailureSource::Allow => Failure::Allow,
        },
        segment_bytes: u64::try_from(bytes?).unwrap_or(u64::MAX),
        segment_age: age?,
    })
}

fn destination(
    folder: &Path,
    file: &SourceFile,
    written: &Spanned<AuditSource>,
    found: &mut Diagnostics,
) -> Option<Destination> {
    match (&written.value.file, written.value.stdout) {
        (Some(path), None | Some(false)) => Some(Destination::Folder(folder.join(&path.value))),
        (None, Some(true)) => Some(Destination::Stdout),
        (Some(path), Some(true)) => {
            found.push(
                file.error(
                    Code::MissingKey,
                    path.referenced,
                    "an audit log goes to `file` or to `stdout`, not to both",
                )
                .help("leave one of them out; `tollgate audit tail --follow` copies a folder to standard output"),
            );
            None
        }
        (None, None | Some(false)) => {
            found.push(
                file.error(Code::MissingKey, written.referenced, "nothing says where the audit log goes")
                    .help("add `file: audit/`, or `stdout: true`"),
            );
            None
        }
    }
}
