//! HTTPS as an operator sets it up: real processes, certificates made for the occasion.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use reqwest::blocking::{Client, ClientBuilder};
use reqwest::tls::Version;
use reqwest::{Certificate, Identity};
use serde_json::Value as Json;

use crate::custody::{Operator, is_kept};
use crate::process::{Server, run};

/// 2100-01-01, when all certificates here end.
const END: &str = "4102444800";

/// Somebody who signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as text.
struct Signed {
    certificate: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn sign(&self, name: &str) -> Signed {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name, &["127.0.0.1"]).signed_by(&key, &self.0).unwrap();
        Signed { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A client that trusts nobody else.
    fn client(&self) -> ClientBuilder {
        let root = Certificate::from_pem(self.0.pem().as_bytes()).unwrap();
        Client::builder().tls_certs_only([root])
    }
}

fn params(name: &str, at: &[&str]) -> CertificateParams {
    let names: Vec<_> = at.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_after = date_time_ymd(2100, 1, 1);
    params
}

/// A store with a secret, and settings with a certificate and figures.
fn operator(authority: &Authority, more: &str) -> Operator {
    let mut operator = Operator::new();
    operator.configure("");
    operator.fill(&Client::new());
    show(&operator, &authority.sign("coffer"));
    operator.configure(&format!(
        "[tls]\ncertificate = '../tls.crt'\nkey = '../tls.key'\n{more}\n[metrics]\nlisten = '127.0.0.1:0'\n"
    ));
    operator
}

/// Puts the files of a certificate where the settings say.
fn show(operator: &Operator, signed: &Signed) {
    operator.write_private("tls.key", &signed.key);
    fs::write(operator.file("tls.crt"), &signed.certificate).unwrap();
}

/// The server, and where its figures are.
fn serve(operator: &Operator) -> (Server, String) {
    let mut child = operator.command(&["serve"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut next = |start: &str| lines.next().unwrap().strip_prefix(start).unwrap().to_owned();
    let (endpoint, figures) = (next("Coffer listens on "), next("Figures are at "));
    assert!(endpoint.starts_with("https://127.0.0.1:"), "{endpoint}");
    let env = [
        ("COFFER_ENDPOINT".to_owned(), endpoint.clone()),
        ("COFFER_TOKEN".to_owned(), operator.token.clone()),
        ("COFFER_ORGANISATION".to_owned(), "acme".to_owned()),
    ];
    (Server { child, said: endpoint, env: env.into() }, figures)
}

#[test]
fn callers_are_served_over_tls_1_2_and_1_3_and_over_nothing_else() {
    let authority = Authority::new("ours");
    let operator = operator(&authority, "");
    let (server, figures) = serve(&operator);
    for version in [Version::TLS_1_2, Version::TLS_1_3] {
        let http = authority.client().tls_version_min(version).tls_version_max(version).build();
        is_kept(&server, &http.unwrap());
    }
    let http = authority.client().build().unwrap();
    let answer = server.call(&http, "GET", "/v1/me").send().unwrap();
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("strict-transport-security"), "max-age=63072000");
    assert_eq!(header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
    assert_eq!(header("x-frame-options"), "DENY");
    let issuer: Json = server.json(&http, "GET", "/.well-known/openid-configuration", Json::Null).1;
    assert_eq!(issuer["issuer"].as_str(), Some(&*server.said));

    let text = Client::new().get(&figures).send().unwrap().text().unwrap();
    assert!(text.contains(&format!("certificate_expiry_timestamp_seconds {END}\n")), "{text}");
    let ready = figures.replace("/metrics", "/readyz");
    assert_eq!(Client::new().get(ready).send().unwrap().status(), 200);

    let stranger = Authority::new("theirs").client().build().unwrap();
    assert!(server.call(&stranger, "GET", "/v1/me").send().is_err());
    let old = authority.client().tls_version_max(Version::TLS_1_1).build();
    assert!(old.is_err() || server.call(&old.unwrap(), "GET", "/v1/me").send().is_err());
    let mut plain = TcpStream::connect(server.said.strip_prefix("https://").unwrap()).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn a_new_certificate_is_shown_without_a_restart_and_a_bad_one_never() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let operator = operator(&old, "");
    let (server, _) = serve(&operator);
    let stays = old.client().build().unwrap();
    is_kept(&server, &stays);

    // A key that does not belong to the certificate, as halfway through a replacement.
    fs::write(operator.file("tls.crt"), new.sign("coffer").certificate).unwrap();
    server.signal("-HUP");
    std::thread::sleep(Duration::from_millis(500));
    is_kept(&server, &old.client().build().unwrap());

    show(&operator, &new.sign("coffer"));
    server.signal("-HUP");
    let sent = Instant::now();
    while server.call(&new.client().build().unwrap(), "GET", "/v1/me").send().is_err() {
        assert!(sent.elapsed() < Duration::from_secs(5), "the new certificate is not shown");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(server.call(&old.client().build().unwrap(), "GET", "/v1/me").send().is_err());
    // Who was connected still is.
    is_kept(&server, &stays);

    // Without a signal it takes a little longer.
    show(&operator, &old.sign("coffer"));
    let written = Instant::now();
    while server.call(&old.client().build().unwrap(), "GET", "/v1/me").send().is_err() {
        assert!(written.elapsed() < Duration::from_secs(15), "the new certificate is not seen");
        std::thread::sleep(Duration::from_millis(200));
    }
    let (code, log) = server.stop();
    assert_eq!(code, Some(0));
    assert_eq!(log.matches("the certificate stays as it was").count(), 1, "{log}");
    assert_eq!(log.matches("the certificate is a new one").count(), 2, "{log}");
}

#[test]
fn clients_show_a_certificate_where_they_must() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let operator = operator(&ours, "client_ca = '../clients.pem'");
    let clients = Authority::new("clients");
    fs::write(operator.file("clients.pem"), clients.0.pem()).unwrap();
    let (server, figures) = serve(&operator);
    let with = |authority: &Authority| {
        let Signed { certificate, key } = authority.sign("client");
        let identity = Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap();
        ours.client().identity(identity).build().unwrap()
    };
    is_kept(&server, &with(&clients));
    for http in [ours.client().build().unwrap(), with(&theirs), with(&ours)] {
        assert!(server.call(&http, "GET", "/v1/me").send().is_err());
    }
    // Whoever looks after the server has none to show.
    let healthy = figures.replace("/metrics", "/healthz");
    assert_eq!(Client::new().get(healthy).send().unwrap().status(), 200);
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn what_is_not_safe_is_refused_at_start() {
    let authority = Authority::new("ours");
    let operator = operator(&authority, "");
    let mode = |mode| {
        fs::set_permissions(operator.file("tls.key"), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o644);
    operator.refused("the key of the certificate");
    mode(0o640);
    assert!(operator.run(&["config", "check"]).well);
    fs::write(operator.file("tls.crt"), authority.sign("another").certificate).unwrap();
    operator.refused("do not go together");
    fs::write(operator.file("tls.crt"), "nothing").unwrap();
    operator.refused("holds no certificate");
    fs::remove_file(operator.file("tls.crt")).unwrap();
    operator.refused("cannot read");
    assert!(!operator.run(&["config", "check"]).well);
    assert!(operator.run(&["config", "check", "--no-files"]).well);

    let exposed = ["dev", "--listen", "0.0.0.0:0", "--data", "/nowhere"];
    let (output, errors) = run(&exposed);
    assert!(!output.status.success() && errors.contains("insecure_http = true"), "{errors}");
}
