//! Messages of RFC 5424, framed by counting their bytes (RFC 6587, RFC 5425).
//!
//! Syslog has no answer. What it has is the end of a connection: each batch goes over one of its own, and the receiver
//! closes that when it has read it to the end.

use std::path::Path;

use anyhow::Result;

use super::Line;
use crate::config::sinks::{SyslogSink, Transport};
use crate::egress::own::Peer;

/// Facility 13, log audit; severity 6, informational.
const PRIORITY: u8 = 13 * 8 + 6;

pub struct Receiver {
    peer: Peer,
    /// Name of this host, of this program and number of this process.
    origin: String,
}

impl Receiver {
    pub fn new(data: &Path, settings: &SyslogSink) -> Result<Self> {
        let ca_file = settings.ca_file.as_ref().map(|file| data.join(file));
        let peer = match settings.transport {
            Transport::Tls => Peer::with_tls(&settings.address, ca_file.as_deref())?,
            Transport::Tcp => Peer::in_clear(&settings.address)?,
        };
        Ok(Self { peer, origin: format!("{} cofferd {}", host(), std::process::id()) })
    }

    pub async fn send(&self, lines: &[Line]) -> Result<()> {
        let frames: String = lines.iter().map(|line| frame(&self.origin, line)).collect();
        self.peer.send(frames.as_bytes()).await
    }
}

/// As the kernel has it, in the characters that a message may name a host in; else `-`.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(char::is_ascii_graphic).take(255).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

fn frame(origin: &str, line: &Line) -> String {
    let at = jiff::Timestamp::from_microsecond(line.at);
    let at = at.map_or("-".to_owned(), |at| at.to_string());
    let message = format!("<{PRIORITY}>1 {at} {origin} {} - {}", line.kind, line.text);
    format!("{} {message}", message.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_tells_when_where_and_what() {
        let line = Line { at: 1_768_478_400_000_412, kind: "record", text: "{\"é\":1}".into() };
        let message = "<110>1 2026-01-15T12:00:00.000412Z here cofferd 7 record - {\"é\":1}";
        assert_eq!(frame("here cofferd 7", &line), format!("{} {message}", message.len()));
    }
}
