//! The floor of a put: what a put commits, by a loop without HTTP in a process of its own.
//!
//! INVARIANT: the statements here are those that the server runs for a put; when it runs others, these follow.

use std::io::Read;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use coffer_server::store::Value::{self, Bytes, Int, Text};
use serde_json::{Value as Json, json};

use crate::asks::{Chance, path};
use crate::figures::{Line, Taken};
use crate::options::Options;
use crate::process::{Process, Usage};

/// What is the same in every put.
pub struct Scope {
    pub organisation: String,
    pub region: String,
    pub key: String,
    /// Bytes of a sealed data key and of a sealed value.
    pub lengths: [usize; 2],
    /// The latest record's time: later ones are appended behind it.
    pub latest: i64,
}

impl Scope {
    /// Where the first four columns of [`Scope`] come from, and the fifth.
    pub const FIND: &str = "SELECT s.organisation_id, s.region_id, s.key_id,
        length(v.wrapped_data_key), length(v.sealed_value)
        FROM secrets s JOIN secret_versions v ON v.organisation_id = s.organisation_id
        AND v.secret_id = s.secret_id LIMIT 1";
    pub const LATEST: &str = "SELECT MAX(at) FROM audit_events WHERE organisation_id = $1";
}

/// Puts of secrets of which the number leaves `rest` when divided by `among`.
pub struct Puts<'s> {
    scope: &'s Scope,
    secrets: usize,
    among: usize,
    rest: usize,
    made: i64,
    chance: Chance,
}

impl<'s> Puts<'s> {
    pub fn new(scope: &'s Scope, secrets: usize, (rest, among): (usize, usize)) -> Self {
        let chance = Chance::new(rest as u64 + 99);
        Self { scope, secrets, among, rest, made: 0, chance }
    }

    pub fn draw(&mut self) -> Put<'s> {
        let owned = (self.secrets / self.among).max(1);
        let number = self.chance.below(owned) * self.among + self.rest;
        let mut sealed = self.scope.lengths.map(|length| vec![0; length]);
        sealed.iter_mut().for_each(|bytes| self.chance.fill(bytes));
        self.made += 1;
        let now = self.scope.latest + self.made * 50;
        let id = |kind: &str| format!("{kind}-{:02}{:018x}", self.rest, self.made);
        let mut link = [0; 32];
        self.chance.fill(&mut link);
        Put {
            scope: self.scope,
            path: format!("/{}", path(number % self.secrets)),
            sealed,
            now,
            ids: [id("ev"), id("ew"), id("req")],
            slot: self.rest as i64,
            // A number that no other run has.
            stream: self.scope.latest + self.rest as i64,
            number: 2 * self.made,
            link,
        }
    }
}

/// The values of a put's statements.
pub struct Put<'s> {
    scope: &'s Scope,
    path: String,
    sealed: [Vec<u8>; 2],
    now: i64,
    ids: [String; 3],
    /// Where this loop counts.
    slot: i64,
    stream: i64,
    /// Of the last of its records.
    number: i64,
    link: [u8; 32],
}

impl Put<'_> {
    /// Of `FIND_SECRET_TO_SEAL`.
    pub fn secret(&self) -> [Value<'_>; 4] {
        [Text(&self.scope.organisation), Text(&self.scope.region), Text(""), Text(&self.path)]
    }

    /// Of `INSERT_SECRET_VERSION`.
    pub fn version<'v>(&'v self, secret: &'v str, version: i64) -> [Value<'v>; 8] {
        let [data_key, value] = &self.sealed;
        let organisation = Text(&self.scope.organisation);
        let (secret, format) = (Text(secret), Text("string"));
        let (data_key, value) = (Bytes(data_key), Bytes(value));
        [organisation, secret, Int(version), format, Int(1), data_key, value, Int(self.now)]
    }

    /// Of `USE_QUOTA`.
    pub fn quota(&self) -> [Value<'_>; 4] {
        [Text(&self.scope.organisation), Text("secrets.versions"), Int(1), Int(self.slot)]
    }

    /// Of `SET_LATEST_VERSION`.
    pub fn latest<'v>(&'v self, secret: &'v str, version: i64) -> [Value<'v>; 4] {
        [Text(&self.scope.organisation), Text(secret), Int(version), Int(self.now)]
    }

    /// Of `INSERT_EVENT`, for the put and for the encryption that it implies.
    pub fn events(&self) -> [[Value<'_>; 22]; 2] {
        let [put, encrypt, request] = &self.ids;
        let event = |id, action, kind, subject, number| {
            [
                Text(&self.scope.organisation),
                Int(self.now),
                Int(1000),
                Text(id),
                Text(""),
                Text("service_account"),
                Text("sa-d5obcgg3fspc73f7vqpg"),
                Text(action),
                Text(kind),
                Text(subject),
                Text("ok"),
                Text(""),
                Text("ac-d5obcgg3fspc73f7vqpg"),
                Text("access_credential"),
                Text("127.0.0.1"),
                Text("load"),
                Text("POST"),
                Text(&self.path),
                Text(request),
                Int(self.stream),
                Int(number),
                Bytes(&self.link),
            ]
        };
        [
            event(put, "secrets.putSecretValue", "secret", &self.path, self.number - 1),
            event(encrypt, "kms.encrypt", "kms_key", &self.scope.key, self.number),
        ]
    }

    /// Of `SET_HEAD`.
    pub fn head(&self) -> [Value<'_>; 5] {
        let link = Bytes(&self.link);
        [Text(&self.scope.organisation), Int(self.stream), Int(self.number), link, link]
    }
}

/// When a floor is warm, and when it is over.
pub struct Times {
    began: Instant,
    warm: Duration,
    measured: Duration,
}

impl Times {
    pub fn begin(options: &Options) -> Self {
        Self { began: Instant::now(), warm: options.warm(), measured: options.seconds() }
    }

    pub fn is_warm(&self) -> bool {
        self.began.elapsed() >= self.warm
    }

    pub fn is_over(&self) -> bool {
        self.began.elapsed() >= self.warm + self.measured
    }
}

/// Prints what a floor has measured.
pub fn tell(micros: Vec<u32>, options: &Options, cpu: Duration, retries: u64) {
    let taken = Taken::new(micros, options.seconds);
    let line = Line::new("", &taken, cpu, None);
    let micros = |time: Duration| time.as_micros();
    let (p50, p99) = (micros(line.p50), micros(line.p99));
    let told =
        json!({"rate": line.rate, "p50": p50, "p99": p99, "cpu": line.cpu, "retries": retries});
    println!("{told}");
}

/// Runs a floor on a database in a process of its own.
pub fn run(
    name: &'static str,
    floor: &str,
    database: &str,
    secrets: usize,
    options: &Options,
) -> Result<Line> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--floor", floor, "--database", database]);
    for (name, value) in [
        ("--secrets", secrets.to_string()),
        ("--seconds", options.seconds.to_string()),
        ("--warm", options.warm.to_string()),
        ("--batch", options.batch.to_string()),
    ] {
        command.args([name, &value]);
    }
    let told: Json = serde_json::from_str(&Process::start(&mut command)?.line()?)?;
    let number = |name: &str| told.get(name).and_then(Json::as_f64).context("no such figure");
    let retries = number("retries")?;
    if retries > 0.0 {
        eprintln!("{name}: {retries} transactions were run again");
    }
    let time = |name| Ok::<_, anyhow::Error>(Duration::from_secs_f64(number(name)? / 1e6));
    Ok(Line {
        name,
        rate: number("rate")?,
        p50: time("p50")?,
        p99: time("p99")?,
        cpu: number("cpu")?,
        memory: None,
    })
}

/// The processor time of this process so far.
pub fn own_cpu() -> Result<Duration> {
    Ok(Usage::of(std::process::id())?.cpu)
}

/// Ends this process when whoever started it has gone.
pub fn end_with_parent<'scope>(scope: &'scope std::thread::Scope<'scope, '_>) {
    scope.spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0)
    });
}
