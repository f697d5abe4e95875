//! `tollgate keys signing`: a key of the gate's own that signs who asks, into a file of its own; its other half is printed.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::output;
use crate::upstream::SigningKey;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file for the secret half, in PEM; it must not be there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run(Args { out }: &Args) -> ExitCode {
    let made = SigningKey::generate().and_then(|secret| Ok((SigningKey::read(&secret)?, secret)));
    let (key, secret) = match made {
        Ok(made) => made,
        Err(problem) => return output::failed(&problem),
    };
    if let Err(error) = output::secret_file(out, &secret) {
        return output::failed(&format!("{} cannot be written: {error}", out.display()));
    }
    output::answer(&json!({ "keys": [key.jwk()] }).to_string());
    output::note(&format!(
        "\nThis line verifies what the key signs; a running gate tells it at /.well-known/jwks.json of its admin port.\n\
         {} signs: only the gate may read it.\n\
         In tollgate.yaml: servers: {{ NAME: {{ assertion: {{ keys: [\"file:/…\"], issuer: … }} }} }}",
        out.display()
    ));
    ExitCode::SUCCESS
}
