//! The public API over HTTP, as one caller.

use std::fmt;

use anyhow::{Context, Result};
use clap::Args;
use coffer_api::ErrorBody;
use reqwest::blocking::RequestBuilder;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// Where and as whom to call.
#[derive(Args)]
pub struct Settings {
    /// For example http://127.0.0.1:8200
    #[arg(long, env = "COFFER_ENDPOINT", default_value = "http://127.0.0.1:8200")]
    endpoint: String,
    /// Never an argument: arguments can be read by others.
    #[arg(skip = token())]
    token: Option<String>,
    /// Identity or slug.
    #[arg(long, env = "COFFER_ORGANISATION")]
    organisation: String,
    /// Identity or slug.
    #[arg(long, env = "COFFER_REGION", default_value = "nl-01")]
    region: String,
    /// Identity or slug, for the secrets of a project.
    #[arg(long, env = "COFFER_PROJECT")]
    project: Option<String>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the token must not be an argument, not even optionally"
)]
fn token() -> Option<String> {
    std::env::var("COFFER_TOKEN").ok()
}

/// One region of one organisation, as one caller.
pub struct Client {
    http: reqwest::blocking::Client,
    base: String,
    token: String,
    organisation: String,
    project: Option<String>,
}

/// An answer of the server that is not a success.
#[derive(Debug)]
pub struct Refused {
    status: u16,
    message: String,
}

impl Refused {
    pub fn is_not_found(&self) -> bool {
        self.status == 404
    }

    /// 2 denied, 3 not found, 4 conflict, 5 unavailable, 1 anything else.
    pub fn exit_code(&self) -> u8 {
        match self.status {
            401 | 403 => 2,
            404 => 3,
            409 | 412 => 4,
            429 | 503 => 5,
            _ => 1,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (status {})", self.message, self.status)
    }
}

impl std::error::Error for Refused {}

impl Client {
    pub fn new(settings: &Settings) -> Result<Self> {
        let endpoint = settings.endpoint.trim_end_matches('/');
        Ok(Self {
            http: reqwest::blocking::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()?,
            base: format!("{endpoint}/v1/secrets/{}", settings.region),
            token: settings.token.clone().context("COFFER_TOKEN is not set")?,
            organisation: settings.organisation.clone(),
            project: settings.project.clone(),
        })
    }

    pub fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T> {
        self.send(self.http.get(self.url(url)))
    }

    pub fn post<T: DeserializeOwned>(&self, url: &str, body: &Json) -> Result<T> {
        self.send(self.http.post(self.url(url)).json(body))
    }

    fn url(&self, rest: &str) -> String {
        format!("{}/{rest}", self.base)
    }

    fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let mut request =
            request.bearer_auth(&self.token).header("X-Organisation-Identity", &self.organisation);
        if let Some(project) = &self.project {
            request = request.header("X-Project-Identity", project);
        }
        let answer = request.send().context("the server cannot be reached")?;
        let status = answer.status();
        if status.is_success() {
            return answer.json().context("the server's answer is not understood");
        }
        let message =
            answer.json::<ErrorBody>().map_or_else(|_| status.to_string(), |body| body.message);
        Err(Refused { status: status.as_u16(), message }.into())
    }
}
