//! What a deployment has that policies count on to know callers: peppers, and certificates that clients are asked for.

use std::io;
use std::sync::Arc;

use super::given::reference;
use super::policies::Folder;
use super::source::ConfigSource;
use super::tls::Kept;
use crate::diagnostic::{Code, Diagnostic, Diagnostics, SourceFile, Spanned, did_you_mean, quoted};
use crate::identity::{MIN_PEPPER, PepperError, Peppers, PrincipalsFile, is_pepper_id};
use crate::secret::Unreadable;

/// More peppers than that would cost every caller whose key is not known.
const MOST_PEPPERS: usize = 4;

/// What there is.
#[derive(Clone, Debug)]
pub struct Callers {
    /// Where the peppers are kept, as it is written.
    pub(super) kept: Vec<(String, String)>,
    /// What goes into the hashes of keys.
    pub peppers: Arc<Peppers>,
    /// Whether clients can show certificates.
    pub certificates: Certificates,
}

/// Whether clients can show certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// `client_ca` says whose.
    Asked,
    /// Nobody asks them.
    NotAsked,
}

impl Callers {
    /// What the file says; `None` if something of it is wrong.
    pub(super) fn read(file: &SourceFile, source: &ConfigSource, kept: Kept, found: &mut Diagnostics) -> Option<Self> {
        let (mut peppers, mut whole) = (Peppers::default(), true);
        for (at, (id, written)) in source.peppers.iter().enumerate() {
            let problem = if at == MOST_PEPPERS {
                let problem = file.error(Code::TooLarge, id.referenced, format!("more than {MOST_PEPPERS} peppers"));
                Some(problem.help("make new keys for those whose hashes have the oldest, and delete it"))
            } else {
                pepper(file, (id, written), kept, &mut peppers, found)
            };
            whole &= problem.is_none();
            found.extend(problem.map(Diagnostics::from).unwrap_or_default());
        }
        let asked = source.listen.tls.as_ref().is_some_and(|tls| tls.value.client_ca.is_some());
        let certificates = if asked { Certificates::Asked } else { Certificates::NotAsked };
        let kept = source.peppers.iter().map(|(id, written)| (id.value.clone(), written.value.clone())).collect();
        whole.then(|| Self { kept, peppers: Arc::new(peppers), certificates })
    }

    /// What the policies count on and is not there.
    pub(super) fn lacking(&self, folder: &Folder) -> Diagnostics {
        let mut found = Diagnostics::new();
        for (file, at, id) in
            folder.principals().flat_map(PrincipalsFile::peppers).filter(|it| !self.peppers.has(&it.2))
        {
            let message = format!("there is no pepper {}, so this key can never be known", quoted(&id));
            let hint = || format!("say in tollgate.yaml where it is kept: `peppers: {{ {id}: file:/PATH }}`");
            let help = did_you_mean(&id, self.peppers.ids()).unwrap_or_else(hint);
            found.push(file.error(Code::UnknownPepper, at, message).help(help));
        }
        if self.certificates == Certificates::NotAsked {
            for (file, at) in folder.principals().filter_map(PrincipalsFile::accepts_certificates) {
                let message = "nobody can show a certificate: clients are not asked for one";
                let help =
                    "name the authorities that sign for them in tollgate.yaml: `listen: { tls: { client_ca: … } }`";
                found.push(file.warning(Code::NoClientCa, at, message).help(help));
            }
        }
        found
    }
}

/// One pepper. What stands where it is kept is never quoted.
fn pepper(
    file: &SourceFile,
    (id, written): (&Spanned<String>, &Spanned<String>),
    kept: Kept,
    peppers: &mut Peppers,
    found: &mut Diagnostics,
) -> Option<Diagnostic> {
    if !is_pepper_id(&id.value) {
        let message = format!("{} cannot be the id of a pepper", quoted(&id.value));
        let problem = file.error(Code::InvalidPepper, id.referenced, message);
        return Some(problem.help("use up to 64 of a-z, 0-9 and `_.-`"));
    }
    // Nothing can be known by it, which is told.
    let Some(reference) = reference(file, written, found) else {
        peppers.kept_elsewhere(&id.value);
        return None;
    };
    match peppers.read(&id.value, &reference) {
        Ok(()) => None,
        Err(error) if kept == Kept::Elsewhere && is_missing(&error) => {
            peppers.kept_elsewhere(&id.value);
            None
        }
        Err(error) => {
            let problem = file.error(Code::InvalidPepper, written.referenced, format!("this is no pepper: {error}"));
            let help = format!("keep {MIN_PEPPER} random characters or more there, such as of `openssl rand -hex 32`");
            Some(problem.help(help))
        }
    }
}

fn is_missing(error: &PepperError) -> bool {
    match error {
        PepperError::Unreadable(Unreadable::Io(error)) => error.kind() == io::ErrorKind::NotFound,
        PepperError::Unreadable(Unreadable::Unset) => true,
        PepperError::Unreadable(_) | PepperError::TooShort => false,
    }
}
