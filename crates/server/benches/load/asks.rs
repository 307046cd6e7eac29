//! What the load asks for.

use std::io::Write;
use std::sync::Arc;

use crate::client::Requests;

/// Secrets of one folder, so that a page of browsing is as long whatever the number of secrets.
pub const PER_FOLDER: usize = 20;
/// Secrets that are asked for again and again, in the line of hot ones.
pub const HOT: usize = 100;
/// Base64 characters of a value: 66 bytes.
const VALUE_CHARS: usize = 88;

/// Who asks whom, and how many secrets there are.
pub struct World {
    /// The value of the `Authorization` header.
    pub authorization: String,
    pub key: String,
    pub secrets: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Reveal,
    RevealHot,
    Browse,
    Encrypt,
    Put,
    Create,
    /// Makes the secrets of the store, each once.
    Fill,
}

impl Kind {
    /// In the order in which they are measured: what changes the store comes last.
    pub const MEASURED: [(Self, &str); 6] = [
        (Self::Reveal, "reveal"),
        (Self::RevealHot, "reveal-hot"),
        (Self::Browse, "browse"),
        (Self::Encrypt, "encrypt"),
        (Self::Put, "put"),
        (Self::Create, "create"),
    ];
}

/// The requests of one connection.
pub struct Asks {
    world: Arc<World>,
    kind: Kind,
    connection: usize,
    connections: usize,
    /// How many it has made.
    made: usize,
    chance: Chance,
    body: Vec<u8>,
}

impl Asks {
    pub fn new(
        world: &Arc<World>,
        kind: Kind,
        (connection, connections): (usize, usize),
        seed: u64,
    ) -> Self {
        let chance = Chance::new(seed ^ (connection as u64 + 1));
        let world = world.clone();
        Self { world, kind, connection, connections, made: 0, chance, body: Vec::new() }
    }

    /// A secret that no other connection asks for, so that no two changes meet.
    fn own(&mut self) -> usize {
        let owned = self.world.secrets.div_ceil(self.connections).max(1);
        let number = self.chance.below(owned) * self.connections + self.connection;
        if number < self.world.secrets { number } else { self.connection % self.world.secrets }
    }
}

/// The path of a secret, without its first slash.
pub fn path(number: usize) -> String {
    format!("app/{}/service/{number}", number / PER_FOLDER)
}

/// The first value of a secret, as base64.
pub fn value(number: usize) -> String {
    let mut out = Vec::new();
    Chance::new(number as u64 + 1).base64(&mut out);
    String::from_utf8(out).unwrap_or_default()
}

const POLICY: &str = r#"{"conditions":[
    {"type":"ip","effect":"deny","cidrs":["192.0.2.0/24"]},
    {"type":"time","effect":"allow","startHour":0,"endHour":24,"timezone":"Europe/Amsterdam"},
    {"type":"ip","effect":"allow","cidrs":["127.0.0.0/8","10.0.0.0/8"]}]}"#;

impl Requests for Asks {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        let number = self.made * self.connections + self.connection;
        self.made += 1;
        self.body.clear();
        let secrets = self.world.secrets;
        let (method, url) = match self.kind {
            Kind::Reveal | Kind::RevealHot => {
                let among = if self.kind == Kind::Reveal { secrets } else { secrets.min(HOT) };
                let path = path(self.chance.below(among));
                ("POST", format!("/v1/secrets/nl-01/secret/{path}/value"))
            }
            Kind::Browse => {
                let folder = self.chance.below(secrets.div_ceil(PER_FOLDER));
                let page = format!("path=/app/{folder}/service/&limit=100");
                ("GET", format!("/v1/secrets/nl-01/secrets?{page}"))
            }
            Kind::Encrypt => {
                self.body.extend(b"{\"plaintext\":\"");
                self.chance.base64(&mut self.body);
                self.body.extend(b"\"}");
                ("POST", format!("/v1/kms/nl-01/keys/{}/encrypt", self.world.key))
            }
            Kind::Put => {
                self.body.extend(b"{\"secretString\":\"");
                self.chance.base64(&mut self.body);
                self.body.extend(b"\"}");
                let path = path(self.own());
                ("POST", format!("/v1/secrets/nl-01/secret/{path}/versions"))
            }
            Kind::Create | Kind::Fill => {
                let (path, value) = match self.kind {
                    Kind::Fill if number >= secrets => return false,
                    Kind::Fill => (path(number), value(number)),
                    _ => (format!("app/new/{}/{number}", number / PER_FOLDER), value(number)),
                };
                let key = &self.world.key;
                let _ = write!(
                    self.body,
                    r#"{{"path":"/{path}","kmsKeyIdentity":"{key}","secretString":"{value}","#
                );
                let _ = write!(self.body, r#""accessPolicy":{POLICY}}}"#);
                ("POST", "/v1/secrets/nl-01/secrets".to_owned())
            }
        };
        let _ = write!(
            out,
            "{method} {url} HTTP/1.1\r\nHost: coffer\r\nAuthorization: {}\r\n\
             X-Organisation-Identity: acme\r\nUser-Agent: load\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.world.authorization,
            self.body.len()
        );
        out.extend(&self.body);
        true
    }
}

/// Numbers that look like chance, the same in each run.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        let mut chance = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        chance.draw();
        chance
    }

    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.draw() >> 16).unwrap_or_default() % bound.max(1)
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for eight in bytes.chunks_mut(8) {
            eight.copy_from_slice(self.draw().to_le_bytes().get(..eight.len()).unwrap_or_default());
        }
    }

    /// A value, as base64.
    fn base64(&mut self, out: &mut Vec<u8>) {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for _ in 0..VALUE_CHARS / 8 {
            let bits = self.draw();
            let digit = |at: u64| DIGITS.get((bits >> (6 * at) & 63) as usize).unwrap_or(&b'A');
            out.extend((0..8).map(digit));
        }
    }
}
