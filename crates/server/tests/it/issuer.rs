//! Another issuer of tokens, on loopback: its description, its keys, and how often somebody asked for them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RsaKeyPair,
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

use crate::world::NOON;

/// Seconds at [`NOON`].
pub const NOW: i64 = NOON / 1_000_000;

pub struct Issuer {
    pub url: String,
    state: Arc<State>,
    server: tokio::task::JoinHandle<()>,
}

struct State {
    url: String,
    manner: Mutex<Manner>,
    keys: Mutex<Vec<Json>>,
    described: AtomicUsize,
    fetched: AtomicUsize,
    redirected: AtomicUsize,
}

/// How it answers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Manner {
    Well,
    /// Its description names another issuer.
    AsAnother,
    /// Its keys are elsewhere, where it sends the client.
    Redirecting,
    /// Its keys are 100 MB.
    Huge,
    Slow,
    /// It takes a moment.
    Late,
    Failing,
    NotJson,
}

pub struct Signer {
    pub kid: String,
    key: Key,
}

enum Key {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair, &'static str),
    Rsa(RsaKeyPair),
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Issuer {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            url: url.clone(),
            manner: Mutex::new(Manner::Well),
            keys: Mutex::default(),
            described: AtomicUsize::new(0),
            fetched: AtomicUsize::new(0),
            redirected: AtomicUsize::new(0),
        });
        let shared = state.clone();
        let server = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let state = shared.clone();
                let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let state = state.clone();
                    async move {
                        Ok::<_, std::convert::Infallible>(state.answer(request.uri().path()).await)
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(connection), service);
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Self { url, state, server }
    }

    /// Publishes these keys, and no others any more.
    pub fn publish(&self, signers: &[&Signer]) {
        *self.state.keys.lock().unwrap() = signers.iter().map(|signer| signer.jwk()).collect();
    }

    pub fn answers(&self, manner: Manner) {
        *self.state.manner.lock().unwrap() = manner;
    }

    /// How often its keys were asked for.
    pub fn fetched(&self) -> usize {
        self.state.fetched.load(Ordering::SeqCst)
    }

    pub fn described(&self) -> usize {
        self.state.described.load(Ordering::SeqCst)
    }

    /// How often somebody followed where it pointed.
    pub fn redirected(&self) -> usize {
        self.state.redirected.load(Ordering::SeqCst)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl State {
    async fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        let manner = *self.manner.lock().unwrap();
        let reply = |json: &Json| {
            Response::builder()
                .header("content-type", "application/json")
                .body(Full::from(json.to_string()))
                .unwrap()
        };
        match path {
            "/.well-known/openid-configuration" => {
                self.described.fetch_add(1, Ordering::SeqCst);
                let issuer = match manner {
                    Manner::AsAnother => "https://another.example.com",
                    _ => &self.url,
                };
                reply(&json!({"issuer": issuer, "jwks_uri": format!("{}/keys", self.url)}))
            }
            "/keys" => {
                self.fetched.fetch_add(1, Ordering::SeqCst);
                match manner {
                    Manner::Redirecting => Response::builder()
                        .status(302)
                        .header("location", format!("{}/elsewhere", self.url))
                        .body(Full::default())
                        .unwrap(),
                    Manner::Huge => Response::new(Full::from(vec![b' '; 100_000_000])),
                    Manner::Failing => {
                        Response::builder().status(500).body(Full::default()).unwrap()
                    }
                    Manner::NotJson => Response::new(Full::from("<html>")),
                    Manner::Slow => {
                        tokio::time::sleep(Duration::from_secs(60)).await;
                        Response::new(Full::default())
                    }
                    _ => {
                        if manner == Manner::Late {
                            tokio::time::sleep(Duration::from_millis(300)).await;
                        }
                        reply(&json!({"keys": *self.keys.lock().unwrap()}))
                    }
                }
            }
            _ => {
                self.redirected.fetch_add(1, Ordering::SeqCst);
                reply(&json!({"keys": *self.keys.lock().unwrap()}))
            }
        }
    }
}

impl Signer {
    pub fn ed25519(kid: &str) -> Self {
        Self { kid: kid.to_owned(), key: Key::Ed(Ed25519KeyPair::generate().unwrap()) }
    }

    pub fn p256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid: kid.to_owned(), key: Key::Ec(pair, "P-256") }
    }

    pub fn p384(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        Self { kid: kid.to_owned(), key: Key::Ec(pair, "P-384") }
    }

    pub fn rsa(kid: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        Self { kid: kid.to_owned(), key: Key::Rsa(pair) }
    }

    /// Its public key, as an issuer publishes it.
    pub fn jwk(&self) -> Json {
        let mut jwk = match &self.key {
            Key::Ed(pair) => {
                let x = encode(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "x": x})
            }
            Key::Ec(pair, curve) => {
                let point = pair.public_key().as_ref();
                let (x, y) = point[1..].split_at((point.len() - 1) / 2);
                json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
            }
            Key::Rsa(pair) => {
                // RSAPublicKey of 2048 bits in DER: nine bytes, the modulus, two bytes, 65537.
                let der = pair.public_key().as_ref();
                json!({"kty": "RSA", "n": encode(&der[9..265]), "e": "AQAB"})
            }
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    /// The algorithm that fits it best.
    pub fn algorithm(&self) -> &'static str {
        match &self.key {
            Key::Ed(_) => "EdDSA",
            Key::Ec(_, "P-256") => "ES256",
            Key::Ec(..) => "ES384",
            Key::Rsa(_) => "RS256",
        }
    }

    /// A token as this issuer makes them.
    pub fn token(&self, claims: &Json) -> String {
        self.token_with(self.algorithm(), &json!({"kid": self.kid, "typ": "JWT"}), claims)
    }

    /// A token with this algorithm and these further headers.
    pub fn token_with(&self, algorithm: &str, headers: &Json, claims: &Json) -> String {
        let mut header = headers.clone();
        header["alg"] = json!(algorithm);
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        format!("{message}.{}", encode(self.sign(algorithm, message.as_bytes())))
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Key::Ec(pair, _) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Key::Rsa(pair) => {
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding = match algorithm {
                    "RS384" => &aws_lc_rs::signature::RSA_PKCS1_SHA384,
                    "RS512" => &aws_lc_rs::signature::RSA_PKCS1_SHA512,
                    "PS256" => &aws_lc_rs::signature::RSA_PSS_SHA256,
                    "PS384" => &aws_lc_rs::signature::RSA_PSS_SHA384,
                    "PS512" => &aws_lc_rs::signature::RSA_PSS_SHA512,
                    _ => &aws_lc_rs::signature::RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// The public key's own bytes, such as somebody might take for a shared secret.
    pub fn public_bytes(&self) -> Vec<u8> {
        match &self.key {
            Key::Ed(pair) => pair.public_key().as_ref().to_vec(),
            Key::Ec(pair, _) => pair.public_key().as_ref().to_vec(),
            Key::Rsa(pair) => pair.public_key().as_ref().to_vec(),
        }
    }
}
