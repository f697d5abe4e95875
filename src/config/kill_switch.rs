//! Where the kill switch is kept: the file that operators write, and the one that the gate keeps.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::given::reference;
use super::policies::read_file;
use super::source::{KillApiSource, KillSwitchSource};
use super::yaml::{Document, MAX_BYTES};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, SourceFile, Spanned};
use crate::policy::{Kill, KillSource, Kills, KillsSource};
use crate::secret::Reference;

/// Where the kill switch is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillSwitchConfig {
    /// The file that operators write.
    pub file: Option<PathBuf>,
    /// How they reach it over the admin port.
    pub api: Option<KillApi>,
}

/// The kill switch over the admin port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillApi {
    /// Where the credential is kept.
    pub key: Reference,
    /// The file in which the gate keeps what is stopped.
    pub state: PathBuf,
}

/// The switch, if there is one; paths are relative to the file.
pub(super) fn build(
    folder: &Path,
    file: &SourceFile,
    source: &KillSwitchSource,
    found: &mut Diagnostics,
) -> Option<KillSwitchConfig> {
    let api = source.api.as_ref().and_then(|KillApiSource { key, state }| {
        let state = folder.join(&state.value);
        Some(KillApi { key: reference(file, key, found)?, state })
    });
    let file = source.file.as_ref().map(|path| folder.join(&path.value));
    (file.is_some() || api.is_some()).then_some(KillSwitchConfig { file, api })
}

/// The bytes of a file of the kill switch.
///
/// # Errors
/// The system's. A file that is not there is an error, too: that nothing is stopped must be said.
pub fn read_kill_file(path: &Path) -> Result<Vec<u8>, Diagnostics> {
    read_file(path, MAX_BYTES).map_err(|error| {
        Diagnostic::error(Code::Unreadable, &path.display().to_string(), format!("cannot be read: {error}"))
            .help("this is the file of the kill switch; `kills: []` in it says that nothing is stopped")
            .into()
    })
}

/// What a file of the kill switch says.
///
/// # Errors
/// Every problem in it.
pub fn kills(path: &Path, bytes: &[u8]) -> Result<Kills, Diagnostics> {
    let document = Document::new(&path.display().to_string(), bytes)?;
    document.read::<KillsSource>()?.compile(document.file())
}

/// One entry of such a file, as it comes over the admin port.
///
/// # Errors
/// Every problem in it.
pub fn kill(bytes: &[u8]) -> Result<Kill, Diagnostics> {
    let document = Document::new("request", bytes)?;
    let written: Spanned<KillSource> = document.read()?;
    written.value.compile(document.file(), &written)
}

/// Writes such a file as a whole: whoever reads it sees all of the old or all of the new, also after a power cut.
///
/// # Errors
/// The system's.
pub fn write_kill_file(path: &Path, kills: &Kills) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let next = path.with_file_name(name);
    let mut file = File::create(&next)?;
    file.write_all(kills.to_text().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&next, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
