//! `coffer`: secrets from a terminal or a script. Reads `COFFER_…` from the environment.

mod client;

use std::io::{Read, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::{Parser, Subcommand};
use client::{Client, Refused};
use coffer_api::{BrowseResponse, Directory, GetSecretValueResponse, SecretPath};
use serde_json::{Value as Json, json};

/// Secrets from a terminal or a script.
///
/// The server, the credential and the scope come from the environment: COFFER_ENDPOINT, COFFER_TOKEN,
/// COFFER_ORGANISATION, COFFER_REGION, COFFER_PROJECT and, to create secrets, COFFER_KMS_KEY.
#[derive(Parser)]
#[command(name = "coffer", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    settings: client::Settings,
}

#[derive(Subcommand)]
enum Command {
    /// Reveal a value: its bytes go to standard output as they are.
    Get {
        /// For example /app/production/db/password
        path: String,
        /// An earlier version.
        #[arg(long)]
        version: Option<i64>,
        /// One value of a key/value secret.
        #[arg(long)]
        field: Option<String>,
    },
    /// Add a version with the value on standard input; makes the secret when there is none.
    Put {
        /// For example /app/production/db/password
        path: String,
        /// Identity or slug of the key for a new secret.
        #[arg(long, env = "COFFER_KMS_KEY")]
        kms_key: Option<String>,
    },
    /// List one level of the tree.
    Ls {
        #[arg(default_value = "/")]
        directory: String,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "coffer: {error:#}");
            ExitCode::from(error.downcast_ref::<Refused>().map_or(1, Refused::exit_code))
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let client = Client::new(&arguments.settings)?;
    match arguments.command {
        Command::Get { path, version, field } => {
            get(&client, &parse(&path)?, version, field.as_deref())
        }
        Command::Put { path, kms_key } => put(&client, &parse(&path)?, kms_key.as_deref()),
        Command::Ls { directory } => list(&client, &directory),
    }
}

/// Paths are checked here too: a client must not send what a URL would change on the way.
fn parse(path: &str) -> Result<SecretPath> {
    SecretPath::parse(path).map_err(|error| anyhow::anyhow!("{error}"))
}

fn get(
    client: &Client,
    path: &SecretPath,
    version: Option<i64>,
    field: Option<&str>,
) -> Result<()> {
    let body = version.map_or(json!({}), |version| json!({"version": version}));
    let revealed: GetSecretValueResponse = client.post(&format!("secret{path}/value"), &body)?;
    let text = match (field, revealed.secret_string, revealed.secret_key_values) {
        (None, Some(text), _) => text,
        (Some(field), _, Some(values)) => {
            let found = values.0.into_iter().find(|(name, _)| name == field);
            found.with_context(|| format!("`{path}` has no field `{field}`"))?.1
        }
        (Some(_), ..) => bail!("`{path}` is one value without fields; leave --field out"),
        (None, ..) => bail!("`{path}` has fields; name one with --field"),
    };
    let value = text.decode().context("the server sent a value that is not base64")?;
    let mut out = std::io::stdout().lock();
    out.write_all(&value)?;
    Ok(out.flush()?)
}

fn put(client: &Client, path: &SecretPath, kms_key: Option<&str>) -> Result<()> {
    let mut value = Vec::new();
    std::io::stdin().lock().read_to_end(&mut value).context("cannot read the value")?;
    let encoded = STANDARD.encode(&value);
    let added: Result<Json> =
        client.post(&format!("secret{path}/versions"), &json!({"secretString": encoded}));
    match added {
        Ok(added) => say(&format!("{path} version {}", added["version"])),
        Err(error) if error.downcast_ref::<Refused>().is_some_and(Refused::is_not_found) => {
            let key = kms_key.context("no such secret; to make it, name a key with --kms-key")?;
            let body =
                json!({"path": path.as_str(), "kmsKeyIdentity": key, "secretString": encoded});
            client.post::<Json>("secrets", &body)?;
            say(&format!("{path} version 1"))
        }
        Err(error) => Err(error),
    }
}

fn list(client: &Client, directory: &str) -> Result<()> {
    let directory = Directory::parse(directory).map_err(|error| anyhow::anyhow!("{error}"))?;
    let url = format!("secrets?path={}", directory.as_str().replace('+', "%2B"));
    let level: BrowseResponse = client.get(&url)?;
    let mut names = level.prefixes;
    names.extend(level.secrets.into_iter().map(|secret| secret.path));
    names.sort_unstable();
    names.iter().try_for_each(|name| say(name))
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
