//! A fresh store with an organisation, a key, and a service account that may do by path what the load asks for.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::blocking::Client;
use serde_json::{Value as Json, json};

use crate::asks::{Asks, Chance, Kind, World, path, value};
use crate::client::Load;
use crate::interrupt;
use crate::process::Server;

/// A store in a folder.
pub struct Store {
    pub config: PathBuf,
    pub data: PathBuf,
    owner: String,
}

impl Store {
    /// Made by `cofferd bootstrap`; on PostgreSQL where there is a `url`.
    pub fn make(folder: &Path, url: Option<&str>) -> Result<Self> {
        let (config, data) = (folder.join("coffer.toml"), folder.join("data"));
        let store = url.map(|url| format!("[store]\nurl = '{url}'\n")).unwrap_or_default();
        // Quotas are counted, but do not end the run.
        fs::write(
            &config,
            format!(
                "listen = ['127.0.0.1:0']\ndata = '{}'\nmemory_lock = 'off'\n\
                 [[regions]]\nslug = 'nl-01'\n[quotas]\nsecrets_count = 1000000000\n\
                 secrets_versions = 1000000000\n{store}",
                data.display()
            ),
        )?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_cofferd"));
        let command = command.arg("bootstrap").arg("--config").arg(&config);
        let made =
            command.args(["--organisation", "acme", "--owner", "owner@acme.invalid"]).output()?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let said = String::from_utf8(made.stdout)?;
        let owner = said.lines().find_map(|line| line.strip_prefix("token "));
        Ok(Self { config, data, owner: owner.context("no token")?.to_owned() })
    }

    /// Makes a key and the caller of the load.
    pub fn people(&self, server: &Server, secrets: usize) -> Result<Arc<World>> {
        let owner = Owner { http: Client::new(), address: server.address, token: &self.owner };
        let key = owner.post("/v1/kms/nl-01/keys", &json!({"name": "load"}))?;
        let key = text(&key, "identity")?;
        owner.post("/v1/service-accounts", &json!({"name": "load"}))?;
        owner.post("/v1/iam/roles", &json!({"name": "load"}))?;
        let rules = "/v1/iam/roles/load/rules";
        // What it may do stands behind other things that it may.
        for number in 0..8 {
            let there = format!("/other/{number}/*");
            let what = ["read", "getSecretValue"];
            owner.rule(rules, "secret", &there, &what)?;
        }
        let all = ["list", "read", "create", "getSecretValue", "putSecretValue"];
        owner.rule(rules, "secret", "/app/*", &all)?;
        owner.rule(rules, "kms_key", &key, &["read", "encrypt"])?;
        let binding = json!({"name": "load", "serviceAccountIdentity": "load"});
        owner.post("/v1/iam/roles/load/bindings", &binding)?;
        let credentials = "/v1/service-accounts/load/access-credentials";
        let made = owner.post(credentials, &json!({"name": "load"}))?;
        let pair = format!("{}:{}", text(&made, "accessKey")?, text(&made, "accessSecret")?);
        let authorization = format!("Basic {}", STANDARD.encode(pair));
        Ok(Arc::new(World { authorization, key, secrets }))
    }
}

/// Makes all secrets, each sealed with a value of its own, and reveals some of them. How long making them took.
pub fn fill(world: &Arc<World>, load: &Load) -> Result<Duration> {
    let began = Instant::now();
    let all = Load { warm: Duration::ZERO, measured: None, ..*load };
    all.run(|at| Asks::new(world, Kind::Fill, (at, load.connections), 0), || Ok(()))?;
    let took = began.elapsed();
    let (http, mut chance) = (Client::new(), Chance::new(42));
    for _ in 0..200 {
        interrupt::check()?;
        let number = chance.below(world.secrets);
        let url = format!("http://{}/v1/secrets/nl-01/secret/{}/value", load.address, path(number));
        let request = http.post(url).header("Authorization", &world.authorization);
        let answer = request.header("X-Organisation-Identity", "acme").send()?;
        let answer: Json = answer.error_for_status()?.json()?;
        ensure!(text(&answer, "secretString")? == value(number), "a secret has another value");
    }
    Ok(took)
}

struct Owner<'s> {
    http: Client,
    address: SocketAddr,
    token: &'s str,
}

impl Owner<'_> {
    fn post(&self, url: &str, body: &Json) -> Result<Json> {
        let request = self.http.post(format!("http://{}{url}", self.address));
        let request =
            request.bearer_auth(self.token).header("X-Organisation-Identity", "acme").json(body);
        let answer = request.send()?;
        let (status, body) = (answer.status(), answer.text()?);
        ensure!(status.is_success(), "{url}: {status} {body}");
        Ok(serde_json::from_str(&body)?)
    }

    fn rule(&self, url: &str, resource: &str, identity: &str, words: &[&str]) -> Result<()> {
        let rule = json!({
            "resources": [resource], "resourceIdentities": [identity], "permissions": words
        });
        self.post(url, &rule).map(|_| ())
    }
}

fn text(json: &Json, name: &str) -> Result<String> {
    Ok(json.get(name).and_then(Json::as_str).context("a field is missing")?.to_owned())
}
