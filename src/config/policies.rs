//! The policy folder: every file read once, told apart by content, checked together.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry, File};
use std::io::{self, Read as _};
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::Reach;
use super::yaml::{Document, MAX_BYTES};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, SourceFile, did_you_mean, quoted};
use crate::federation::{self, VIEWS_KEYS, Views, ViewsFile};
use crate::identity::{self, Authenticators, Known, PRINCIPALS_KEYS, Peppers, PrincipalsFile, WithoutRole};
use crate::mcp::{self, ServerName};
use crate::policy::{self, LOCK_FILE, MAX_LOCK_BYTES, POLICY_KEYS, PolicyFile, PolicySet, RolesElsewhere, ToolLock};

/// A folder with more files is not a policy.
pub(super) const MAX_FILES: usize = 256;

/// What is enforced.
#[derive(Debug, Default)]
pub struct Policies {
    /// Who may do what.
    pub policy: PolicySet,
    /// Who is who.
    pub authenticators: Authenticators,
    /// Which servers stand as one, too.
    pub views: Views,
    /// What is odd, though not wrong.
    pub warnings: Diagnostics,
}

/// A policy folder that was read, for better or worse.
#[derive(Debug)]
pub struct Folder {
    name: String,
    digest: Arc<str>,
    policies: Vec<PolicyFile>,
    principals: Vec<PrincipalsFile>,
    views: Vec<ViewsFile>,
    lock: Option<ToolLock>,
    found: Diagnostics,
}

/// The first 12 hexadecimal digits of the SHA-256 of all files, with their names.
fn digest(files: &[Named]) -> Arc<str> {
    let mut hash = Sha256::new();
    for (file, bytes) in files {
        hash.update(format!("{file}\0{}\0", bytes.len()));
        hash.update(bytes);
    }
    let digits = HEXLOWER.encode(&hash.finalize());
    digits.get(..12).unwrap_or(&digits).into()
}

/// A file, and what is in it.
type Named = (String, Vec<u8>);

/// A file by its kind.
enum Kind {
    Policy(Box<PolicyFile>),
    Principals(PrincipalsFile),
    Views(ViewsFile),
    Lock(ToolLock),
}

impl Policies {
    /// Knows keys by hashes with these peppers, too.
    #[must_use]
    pub(super) fn peppered(self, peppers: &Arc<Peppers>) -> Self {
        Self { authenticators: self.authenticators.peppered(peppers), ..self }
    }
}

impl Folder {
    /// Reads a folder. What is wrong is told by [`Folder::compile`].
    pub fn read(path: &Path) -> Self {
        let name = folder_name(path);
        match files(path, &name, is_policy_file) {
            Ok(files) => Self::of(name, files),
            Err(problem) => Self { found: problem.into(), ..Self::of(name, Vec::new()) },
        }
    }

    /// The digest of a folder's files, which says whether they are worth reading again.
    pub fn digest(path: &Path) -> Option<Arc<str>> {
        files(path, &folder_name(path), is_policy_file).ok().map(|files| digest(&files))
    }

    /// A folder of these files, in this order.
    pub fn of(name: String, files: Vec<Named>) -> Self {
        let (mut policies, mut principals, mut views) = (Vec::new(), Vec::new(), Vec::new());
        let mut found = Diagnostics::new();
        let mut lock = None;
        let digest = digest(&files);
        for read in read_all(&name, files) {
            match read {
                Ok(Kind::Policy(file)) => policies.push(*file),
                Ok(Kind::Principals(file)) => principals.push(file),
                Ok(Kind::Views(file)) => views.push(file),
                Ok(Kind::Lock(file)) => lock = Some(file),
                Err(problems) => found.extend(problems),
            }
        }
        Self { name, digest, policies, principals, views, lock, found }
    }

    /// Whether there is no file at all.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty() && self.principals.is_empty() && self.found.is_empty()
    }

    /// Whether some policy file is for this server. One that names none is for whichever there is.
    pub fn is_for(&self, server: &ServerName) -> bool {
        let named = |file: &PolicyFile| file.server().is_none_or(|name| name.value == server.as_str());
        self.policies.is_empty() || self.policies.iter().any(named)
    }

    /// Whether a policy file says which server it is for.
    pub fn names_servers(&self) -> bool {
        self.policies.iter().any(|file| file.server().is_some())
    }

    /// The servers that the policy files name, or else the lock; `default` if they name none.
    pub fn servers(&self) -> Vec<ServerName> {
        let named: BTreeSet<&str> =
            self.policies.iter().filter_map(PolicyFile::server).map(|name| name.value.as_str()).collect();
        let locked = || self.lock.iter().flat_map(ToolLock::servers).collect();
        let named = if named.is_empty() { locked() } else { named };
        let mut servers: Vec<_> = named.into_iter().filter_map(|name| ServerName::new(name).ok()).collect();
        if servers.is_empty() {
            servers.extend(ServerName::new("default").ok());
        }
        servers
    }

    /// The principals files.
    pub(super) fn principals(&self) -> impl Iterator<Item = &PrincipalsFile> {
        self.principals.iter()
    }

    /// The policy files, to quote from.
    pub fn sources(&self) -> impl Iterator<Item = &SourceFile> {
        self.policies.iter().map(PolicyFile::file)
    }

    /// Limits that a gate that has so many requests under way at most never reaches.
    pub fn beyond(&self, max_in_flight: usize) -> Diagnostics {
        policy::beyond(&self.policies, max_in_flight)
    }

    /// What the folder says for these servers.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn compile(mut self, servers: &[ServerName], reach: Reach, now: SystemTime) -> Result<Policies, Diagnostics> {
        let mut found = std::mem::take(&mut self.found);
        let whole = !found.has_errors();
        if whole && self.policies.is_empty() && self.principals.is_empty() {
            return Err(no_files(&self.name).into());
        }
        let elsewhere = if whole { RolesElsewhere::None } else { RolesElsewhere::InBrokenFiles };
        let mut policy = found.take(policy::compile(&self.policies, servers, elsewhere, Arc::clone(&self.digest)));
        let pins = if whole { policy::pins(&self.policies, servers, self.lock.as_ref()) } else { Ok(Vec::new()) };
        if let (Some(pins), Some(policy)) = (found.take(pins), &mut policy) {
            policy.policy.pin(pins);
        }
        if !found.has_errors() {
            found.extend(policy::fits(&self.policies, servers, self.lock.as_ref(), now));
        }
        let views =
            if whole { federation::compile(&self.views, servers, self.lock.as_ref()) } else { Ok(Views::default()) };
        let views = found.take(views).unwrap_or_default();
        found.extend(federation::fits(&self.views, self.lock.as_ref()));
        if whole && self.policies.is_empty() {
            found.push(
                Diagnostic::error(Code::NoPolicy, &self.name, "there are keys, but no file says what they may do")
                    .help(
                        "write one with `roles:` or `allowed_tools:`; `tollgate init --server URL` makes a first one",
                    ),
            );
        }
        let known = self.known(elsewhere, now);
        let identity = match (whole, &known) {
            (false, _) if self.principals.is_empty() => None,
            (true, _) if self.principals.is_empty() && reach == Reach::Nowhere => Some(identity::Compiled::nobody()),
            (_, known) => found.take(identity::compile(&self.name, &self.principals, known)),
        };
        // Which roles are held is known only once every key is right.
        if whole && identity.is_some() {
            self.unheld_roles(&mut found);
            self.unheld_scopes(&mut found);
        }
        self.anonymous_reach(reach, &mut found);
        self.unpublished_tokens(reach, &mut found);
        match (policy, identity) {
            (Some(policy), Some(identity)) if !found.has_errors() => {
                found.extend(policy.warnings);
                found.extend(identity.warnings);
                let authenticators = identity.authenticators;
                Ok(Policies { policy: policy.policy, authenticators, views, warnings: found })
            }
            (policy, identity) => {
                found.extend(policy.map(|done| done.warnings).unwrap_or_default());
                found.extend(identity.map(|done| done.warnings).unwrap_or_default());
                Err(found)
            }
        }
    }

    fn known(&self, elsewhere: RolesElsewhere, now: SystemTime) -> Known<'_> {
        let roles = self.policies.iter().flat_map(PolicyFile::roles).map(|role| role.value.as_str()).collect();
        let open = self.policies.iter().any(PolicyFile::opens_to_all) || elsewhere == RolesElsewhere::InBrokenFiles;
        Known {
            roles: (elsewhere == RolesElsewhere::None).then_some(roles),
            without_role: if open { WithoutRole::Something } else { WithoutRole::Nothing },
            now,
        }
    }

    /// A role that nobody holds is either a leftover or a key's misspelt one.
    fn unheld_roles(&self, found: &mut Diagnostics) {
        let held: BTreeSet<&str> = self
            .principals
            .iter()
            .flat_map(PrincipalsFile::roles_held)
            .chain(self.policies.iter().flat_map(PolicyFile::inherited))
            .collect();
        if self.principals.iter().any(PrincipalsFile::gives_any_role) {
            return;
        }
        for file in &self.policies {
            for role in
                file.roles().filter(|role| mcp::is_well_formed(&role.value) && !held.contains(role.value.as_str()))
            {
                found.push(
                    file.file()
                        .warning(
                            Code::UnheldRole,
                            role.referenced,
                            format!("nobody holds the role {}", quoted(&role.value)),
                        )
                        .help("give it to a key under `keys:`, or delete it"),
                );
            }
        }
    }

    /// Tokens may have any scope; keys have those that stand here.
    fn unheld_scopes(&self, found: &mut Diagnostics) {
        if self.principals.iter().any(|file| file.accepts_tokens().is_some()) {
            return;
        }
        let held: BTreeSet<&str> = self.principals.iter().flat_map(PrincipalsFile::scopes_of_keys).collect();
        for file in &self.policies {
            for scope in file.scopes().filter(|scope| !held.contains(scope.value)) {
                let message = format!("nobody can have the scope {}", quoted(scope.value));
                found.push(
                    file.file()
                        .warning(Code::UnheldScope, scope.referenced, message)
                        .help("accept tokens (`tokens:` in a principals file), or give a key the scope (`scopes:`)"),
                );
            }
        }
    }

    /// Whoever looks for a token must be told where the gate is: it cannot know that by itself.
    fn unpublished_tokens(&self, reach: Reach, found: &mut Diagnostics) {
        for (file, at) in self.principals.iter().filter_map(PrincipalsFile::accepts_tokens) {
            if reach == Reach::Network {
                found.push(
                    file.error(
                        Code::NoPublicUrl,
                        at,
                        "tokens are accepted, and nothing says where clients reach the gate",
                    )
                    .help("say it in tollgate.yaml: `listen: { public_url: https://mcp.example.com/mcp }`"),
                );
            }
        }
    }

    /// Whoever can connect is let in: on a network that is everyone.
    fn anonymous_reach(&self, reach: Reach, found: &mut Diagnostics) {
        for (file, at) in self.principals.iter().filter_map(PrincipalsFile::lets_in_anyone) {
            if matches!(reach, Reach::Network | Reach::Published) {
                found.push(
                    file.error(
                        Code::AnonymousOnNetwork,
                        at.referenced,
                        "callers without a credential are let in, and the gate listens to the network",
                    )
                    .help("listen on `127.0.0.1`, or delete `anonymous: true` and give out keys"),
                );
            }
        }
    }
}

/// What each file is, in their order. Reading is most of what a large folder costs, so that one is shared out.
fn read_all(folder: &str, mut files: Vec<Named>) -> Vec<Result<Kind, Diagnostics>> {
    const WORTH_A_THREAD: usize = 128 << 10;
    let read = move |(file, bytes): Named| {
        let path = join(folder, &file);
        if file == LOCK_FILE { ToolLock::read(&path, &bytes).map(Kind::Lock) } else { read(&path, &bytes) }
    };
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(bytes / WORTH_A_THREAD).max(1);
    let share = files.len().div_ceil(threads);
    thread::scope(|scope| {
        let mut others = Vec::new();
        while files.len() > share {
            let theirs = files.split_off(files.len() - share);
            others.push(scope.spawn(move || theirs.into_iter().map(read).collect::<Vec<_>>()));
        }
        let mut kinds: Vec<_> = files.into_iter().map(read).collect();
        for other in others.into_iter().rev() {
            kinds.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        kinds
    })
}

/// What a file is, by the keys at its top.
fn read(name: &str, bytes: &[u8]) -> Result<Kind, Diagnostics> {
    // A principals file that is wrong may hold a key in any place: its lines are not shown.
    let may_hold_keys = bytes.windows(4).any(|word| word == b"keys");
    let document =
        Document::new(name, bytes).map_err(|found| if may_hold_keys { found.without_source_lines() } else { found })?;
    let file = document.file();
    if document.keys().iter().any(|(key, _)| VIEWS_KEYS.contains(&key.as_str())) {
        return Ok(Kind::Views(ViewsFile::new(file.clone(), document.read()?)));
    }
    let of = |kind: &[&str]| document.keys().iter().find(|(key, _)| kind.contains(&key.as_str()));
    match (of(POLICY_KEYS), of(PRINCIPALS_KEYS)) {
        (Some(_), None) => Ok(Kind::Policy(Box::new(PolicyFile::new(file.clone(), document.read()?)))),
        (None, Some(_)) => {
            let written = document.read().map_err(Diagnostic::without_source_line)?;
            Ok(Kind::Principals(PrincipalsFile::new(file.clone(), written)))
        }
        (Some((key, _)), Some((other, at))) => Err(file
            .error(Code::MixedFile, *at, format!("{} and {} stand in the same file", quoted(key), quoted(other)))
            .without_source_line()
            .help("put `keys` and `anonymous` into a file of their own, such as principals.yaml")
            .into()),
        (None, None) => Err(neither(&document).into()),
    }
}

fn neither(document: &Document) -> Diagnostic {
    let message = "this is neither a policy file nor a principals file";
    let known = || POLICY_KEYS.iter().chain(PRINCIPALS_KEYS).chain(VIEWS_KEYS).copied();
    let Some((_, at)) = document.keys().first() else {
        return Diagnostic::error(Code::UnknownFileKind, document.file().name(), message);
    };
    document
        .file()
        .error(Code::UnknownFileKind, *at, message)
        .without_source_line()
        .help("a policy file has `roles`, `tools` or `allowed_tools`; a principals file has `keys` or `anonymous`; one of views has `views`")
        .maybe_help(document.keys().iter().find_map(|(key, _)| did_you_mean(key, known())))
}

/// The files of a folder that have such a name, in order.
pub(super) fn files(path: &Path, name: &str, wanted: fn(&str) -> bool) -> Result<Vec<Named>, Diagnostic> {
    const TRIES: usize = 3;
    // Kubernetes swaps a mounted folder by its link `..data`: files from before and after must not be mixed.
    let generation = || fs::read_link(path.join("..data")).ok();
    for _ in 0..TRIES {
        let before = generation();
        let files = files_once(path, name, wanted)?;
        if generation() == before {
            return Ok(files);
        }
    }
    Err(Diagnostic::error(Code::Unreadable, name, "the folder changed again and again while it was read")
        .help("wait until whatever writes it is done"))
}

fn files_once(path: &Path, name: &str, wanted: fn(&str) -> bool) -> Result<Vec<Named>, Diagnostic> {
    let cannot =
        |name: &str, error: &io::Error| Diagnostic::error(Code::Unreadable, name, format!("cannot be read: {error}"));
    let entries = fs::read_dir(path).map_err(|error| {
        cannot(name, &error)
            .help("this is the policy folder; `--policies DIR` or `policies:` in tollgate.yaml names it")
    })?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| cannot(name, &error))?;
        let Some(file) = entry.file_name().to_str().filter(|file| wanted(file)).map(str::to_owned) else {
            continue;
        };
        if files.len() >= MAX_FILES {
            return Err(Diagnostic::error(
                Code::TooLarge,
                name,
                format!("the folder has more than {MAX_FILES} such files"),
            )
            .help("put together what belongs together"));
        }
        let shown = join(name, &file);
        if leads_out(path, &entry).map_err(|error| cannot(&shown, &error))? {
            return Err(Diagnostic::error(Code::Unreadable, &shown, "this link leads out of the folder")
                .help("put the file itself there; a revision or an image of the folder has the link alone"));
        }
        let bytes = read_file(&entry.path(), most_bytes(&file)).map_err(|error| cannot(&shown, &error))?;
        files.push((file, bytes));
    }
    files.sort();
    Ok(files)
}

/// Whether an entry is a link to somewhere else. What is wrong with a file is shown with its lines, also in a comment on a
/// change: whoever may change the folder must not choose what else is shown.
fn leads_out(folder: &Path, entry: &DirEntry) -> io::Result<bool> {
    Ok(entry.file_type()?.is_symlink() && !fs::canonicalize(entry.path())?.starts_with(fs::canonicalize(folder)?))
}

/// How large a file of this name may be.
pub(super) fn most_bytes(name: &str) -> usize {
    if name == LOCK_FILE { MAX_LOCK_BYTES } else { MAX_BYTES }
}

/// Files of test cases lie beside the policies, and Kubernetes and editors leave names that begin with a dot.
pub(super) fn is_policy_file(name: &str) -> bool {
    if name == LOCK_FILE {
        return true;
    }
    let Some((stem, "yaml" | "yml")) = name.rsplit_once('.') else {
        return false;
    };
    let is_test = stem.rsplit_once('.').is_some_and(|(_, kind)| kind == "test");
    !stem.is_empty() && !stem.starts_with('.') && !is_test
}

/// Reads a regular file, or what a link leads to, up to one byte more than is allowed.
pub(super) fn read_file(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(bound).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a lock; `None` if there is none.
///
/// # Errors
/// It cannot be read, or is not as `tollgate lock` writes it.
pub fn read_lock(path: &Path) -> Result<Option<ToolLock>, Diagnostics> {
    let name = path.display().to_string();
    match read_file(path, MAX_LOCK_BYTES) {
        Ok(bytes) => ToolLock::read(&name, &bytes).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Diagnostic::error(Code::Unreadable, &name, format!("cannot be read: {error}")).into()),
    }
}

fn no_files(folder: &str) -> Diagnostic {
    Diagnostic::error(Code::NoPolicy, folder, "there is no policy file in this folder")
        .help("policy files end in .yaml; `tollgate init --server URL` writes a first one")
}

pub(super) fn folder_name(path: &Path) -> String {
    let name = path.display().to_string();
    let trimmed = name.trim_end_matches('/');
    if trimmed.is_empty() && !name.is_empty() { "/".to_owned() } else { trimmed.to_owned() }
}

pub(super) fn join(folder: &str, file: &str) -> String {
    PathBuf::from(folder).join(file).display().to_string()
}
