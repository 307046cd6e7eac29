//! Sinks: the audit log as it goes elsewhere, in order, each record at least once, without holding anybody up.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `look` | what a sink has not been given yet |
//! | `courier` | gives a sink its records, again and again until it takes them; keeps its place |
//! | `file`, `syslog`, `webhook` | the kinds of sinks |

mod courier;
mod file;
mod look;
mod syslog;
mod webhook;

use anyhow::{Context, Result};

pub use courier::tend;
use look::Line;

use crate::config::Config;
use crate::config::sinks::SinkConfig;

/// Somewhere that records go to.
pub struct Sink {
    name: String,
    target: Target,
}

enum Target {
    File(file::RotatedFile),
    Syslog(syslog::Receiver),
    Webhook(Box<webhook::Receiver>),
}

/// The sinks of a configuration. Reads the files that they name; whether anybody is there to take records is found out
/// later.
pub fn open(config: &Config) -> Result<Vec<Sink>> {
    let open = |sink: &SinkConfig| {
        let name = sink.name().to_owned();
        let target = target(config, sink).with_context(|| format!("sink `{name}`"))?;
        Ok(Sink { name, target })
    };
    config.audit.sinks.iter().map(open).collect()
}

fn target(config: &Config, sink: &SinkConfig) -> Result<Target> {
    Ok(match sink {
        SinkConfig::File(sink) => Target::File(file::RotatedFile::new(&config.data, sink)?),
        SinkConfig::Syslog(sink) => Target::Syslog(syslog::Receiver::new(&config.data, sink)?),
        SinkConfig::Webhook(sink) => {
            Target::Webhook(Box::new(webhook::Receiver::new(&config.data, sink)?))
        }
    })
}

impl Sink {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives it lines. An error: it may have none of them, some or all.
    async fn take(&self, lines: &[Line], now: i64) -> Result<()> {
        match &self.target {
            Target::File(file) => file.append(lines).await,
            Target::Syslog(receiver) => receiver.send(lines).await,
            Target::Webhook(receiver) => receiver.post(lines, now).await,
        }
    }
}
