//! The command line of `cofferd`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use coffer_server::config::Config;
use coffer_server::custody::WhenMissing;

/// Coffer: a Secrets Manager with its own KMS and IAM.
#[derive(Parser)]
#[command(name = "cofferd", version, about)]
pub struct Arguments {
    /// What is logged: `info`, `warn`, or a filter such as `coffer_server=debug`.
    #[arg(long, global = true, env = "COFFER_LOG", default_value = "info")]
    pub log: String,
    /// How it is logged.
    #[arg(long, global = true, env = "COFFER_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Copy, Default, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Human,
    /// A line of JSON.
    Json,
}

#[derive(Subcommand)]
pub enum Command {
    /// Make what is missing and serve: everything on one machine, for trying and developing.
    Dev {
        /// Address and port to listen on; port 0 picks a free one.
        #[arg(long, default_value_t = DEV_LISTEN)]
        listen: SocketAddr,
        /// Folder of the store and the root key.
        #[arg(long, default_value = "coffer-data")]
        data: PathBuf,
        /// Serve plain HTTP at an address other than loopback, where others can read it.
        #[arg(long)]
        insecure_http: bool,
    },
    /// Serve an existing store.
    Serve {
        #[command(flatten)]
        settings: Settings,
    },
    /// Make the first organisation on an empty store, and print its owner's token once.
    Bootstrap {
        #[command(flatten)]
        settings: Settings,
        /// Slug of the organisation, of `a-z 0-9 -`.
        #[arg(long)]
        organisation: String,
        /// E-mail address of its owner.
        #[arg(long)]
        owner: String,
    },
    /// Print a new token of an organisation's owner, for when the first is lost. Stop the server first.
    OwnerToken {
        #[command(flatten)]
        settings: Settings,
        /// Slug or identity of the organisation.
        #[arg(long)]
        organisation: String,
    },
    /// Make an administrator of the platform and print the token once; or list them, or revoke one. Stop the
    /// server first.
    AdminToken {
        #[command(flatten)]
        settings: Settings,
        /// What or whom the new token is for.
        #[arg(long, required_unless_present_any = ["list", "revoke"])]
        name: Option<String>,
        /// When it ends: a duration such as `90d`, or a time such as `2027-01-01T00:00:00Z`.
        #[arg(long, conflicts_with_all = ["list", "revoke"])]
        expires: Option<String>,
        /// List the administrators, without their tokens.
        #[arg(long, conflicts_with_all = ["name", "revoke"])]
        list: bool,
        /// Revoke the token of the administrator with this identity.
        #[arg(long, conflicts_with = "name")]
        revoke: Option<String>,
    },
    /// Make the root keys that the settings name and that are not there yet, and print the fingerprint of each.
    /// Can be run while the server serves; run it as the server's user.
    RootKey {
        #[command(flatten)]
        settings: Settings,
    },
    /// Write everything in the store to a sealed file, while the server serves or not; or check such a file.
    /// Run it as the server's user.
    Backup {
        #[command(flatten)]
        settings: Settings,
        /// Check this backup instead; `-` reads it from stdin.
        #[arg(long, value_name = "FILE")]
        verify: Option<PathBuf>,
        /// The file to make; `-` writes to stdout.
        #[arg(required_unless_present = "verify", conflicts_with = "verify")]
        out: Option<PathBuf>,
    },
    /// Verify or export the audit log, while the server serves or not. Run it as the server's user.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Check, show or list the settings.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print completions for a shell.
    Completions { shell: Shell },
    /// Write manual pages into a folder.
    Man { folder: PathBuf },
    /// Make a store out of a backup, where there is none yet.
    Restore {
        #[command(flatten)]
        settings: Settings,
        /// The backup; `-` reads it from stdin.
        r#in: PathBuf,
    },
}

#[derive(Subcommand)]
pub enum AuditCommand {
    /// Check every link, seal and signature: 0 if the log is whole, 1 and the first bad record if it is not.
    Verify {
        #[command(flatten)]
        store: StoreArguments,
        /// Verify an export instead, with the keys of the store; `-` reads it from stdin.
        #[arg(long, value_name = "FILE", conflicts_with = "organisation")]
        file: Option<PathBuf>,
        /// Slug or identity of the only organisation to look at.
        #[arg(long)]
        organisation: Option<String>,
        /// The store is older than the chains: records of before are counted instead of refused.
        #[arg(long)]
        older: bool,
    },
    /// Write the log as JSON Lines, with all that proves that it is whole.
    Export {
        #[command(flatten)]
        store: StoreArguments,
        /// Slug or identity of the only organisation to export.
        #[arg(long)]
        organisation: Option<String>,
        /// The file to make; `-` writes to stdout.
        out: PathBuf,
    },
}

#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Check the settings, and that the files can be read which they name: 0 if a server could start with them.
    Check {
        #[command(flatten)]
        settings: Settings,
        /// Check the settings alone, where their files are not.
        #[arg(long)]
        no_files: bool,
    },
    /// Print all settings as they would be, defaults included, secrets not.
    Show {
        #[command(flatten)]
        settings: Settings,
    },
    /// List every setting with its default, as Markdown.
    Settings,
}

/// With what a command runs.
#[derive(Args)]
pub struct Settings {
    /// TOML file with the settings. Variables such as `COFFER_LIMITS_BODY_SECONDS` come after it and win; without a
    /// file they are all there is.
    #[arg(long)]
    pub config: Option<PathBuf>,
}

impl Settings {
    pub fn load(&self) -> Result<Config> {
        Config::load(self.config.as_deref())
    }
}

/// Which store: by its settings, or by the folder that `cofferd dev` has made.
#[derive(Args)]
#[group(multiple = false)]
pub struct StoreArguments {
    /// TOML file with the settings.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Folder of a store that `cofferd dev` serves.
    #[arg(long)]
    pub data: Option<PathBuf>,
}

impl StoreArguments {
    pub fn load(self) -> Result<Config> {
        match (self.config, self.data) {
            (_, Some(data)) => Ok(Config::dev(DEV_LISTEN, data)),
            (config, None) => Config::load(config.as_deref()),
        }
    }
}

pub const DEV_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8200);

impl Command {
    /// Whether there must be a store already.
    pub fn missing(&self) -> WhenMissing {
        match self {
            Self::Dev { .. } | Self::Bootstrap { .. } => WhenMissing::Make,
            Self::Serve { .. }
            | Self::OwnerToken { .. }
            | Self::AdminToken { .. }
            | Self::RootKey { .. }
            | Self::Backup { .. }
            | Self::Audit { .. }
            | Self::Config { .. }
            | Self::Completions { .. }
            | Self::Man { .. }
            | Self::Restore { .. } => WhenMissing::Refuse,
        }
    }
}
