//! Where root keys are kept, and replacing them, as an operator does it: real processes, a real PKCS#11 token.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reqwest::blocking::Client;
use serde_json::{Value as Json, json};

use crate::process::{Server, cofferd};
use crate::world::base64;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A configuration in a folder of its own, and the environment its processes get.
pub(crate) struct Operator {
    pub folder: tempfile::TempDir,
    env: HashMap<&'static str, PathBuf>,
    pub token: String,
}

/// How a command ended: whether well, what it said, its log.
pub(crate) struct Ended {
    pub well: bool,
    pub said: String,
    pub log: String,
}

impl Operator {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), env: HashMap::new(), token: String::new() }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the settings, with this text on root keys.
    pub fn configure(&self, root_keys: &str) {
        let data = self.file("data");
        let text = format!(
            "listen = ['127.0.0.1:0']\ndata = '{}'\n{root_keys}\n[[regions]]\nslug = 'nl-01'\n",
            data.display()
        );
        fs::write(self.file("coffer.toml"), text).unwrap();
    }

    pub fn write_private(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
        fs::set_permissions(self.file(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let config = self.file("coffer.toml");
        let mut command = cofferd(arguments);
        command.args(["--config", config.to_str().unwrap()]).envs(&self.env);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).output().unwrap();
        Ended {
            well: output.status.success(),
            said: String::from_utf8(output.stdout).unwrap(),
            log: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub fn bootstrap(&mut self) {
        let done = self.run(&["bootstrap", "--organisation", "acme", "--owner", "o@acme.invalid"]);
        assert!(done.well, "{}", done.log);
        self.token = done.said.split("token ").nth(1).unwrap().trim().to_owned();
    }

    /// Makes a store with a secret in it.
    pub fn fill(&mut self, http: &Client) {
        self.bootstrap();
        let server = self.serve();
        keep(&server, http);
        assert_eq!(server.stop().0, Some(0));
    }

    pub fn serve(&self) -> Server {
        self.started(&mut self.command(&["serve"]))
    }

    pub fn started(&self, command: &mut Command) -> Server {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(endpoint) = line.trim().strip_prefix("Coffer listens on ") else {
            child.stderr.take().unwrap().read_to_string(&mut line).unwrap();
            panic!("{line}");
        };
        let env = HashMap::from([
            ("COFFER_ENDPOINT".to_owned(), endpoint.to_owned()),
            ("COFFER_TOKEN".to_owned(), self.token.clone()),
            ("COFFER_ORGANISATION".to_owned(), "acme".to_owned()),
        ]);
        Server { child, said: line, env }
    }

    /// Fails to serve, with this in the log.
    pub fn refused(&self, expected: &str) {
        let ended = self.run(&["serve"]);
        assert!(!ended.well && ended.log.contains(expected), "{expected}: {}", ended.log);
    }

    /// Every byte of every file under the folder.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        fn walk(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => walk(&path, files),
                    false => files.push((path.clone(), fs::read(&path).unwrap())),
                }
            }
        }
        let mut files = Vec::new();
        walk(self.folder.path(), &mut files);
        files
    }
}

pub(crate) fn keep(server: &Server, http: &Client) {
    let (status, key) = server.json(http, "POST", "/v1/kms/nl-01/keys", json!({"name": "k"}));
    assert_eq!(status, 201, "{key}");
    let body = json!({"path": "/kept", "kmsKeyIdentity": "k", "secretString": base64("hunter2")});
    assert_eq!(server.json(http, "POST", "/v1/secrets/nl-01/secrets", body).0, 201);
}

pub(crate) fn is_kept(server: &Server, http: &Client) {
    let url = "/v1/secrets/nl-01/secret/kept/value";
    let (status, value) = server.json(http, "POST", url, Json::Null);
    assert_eq!((status, &value["secretString"]), (200, &json!(base64("hunter2"))), "{value}");
}

/// Follows the log until this stands in it.
fn wait_for(server: &mut Server, expected: &str) -> String {
    let mut log = BufReader::new(server.child.stderr.take().unwrap());
    let mut all = String::new();
    while !all.contains(expected) {
        assert!(log.read_line(&mut all).unwrap() > 0, "{expected}: {all}");
    }
    server.child.stderr = Some(log.into_inner());
    all
}

#[test]
fn the_root_key_is_replaced_by_another_one() {
    let mut operator = Operator::new();
    let http = Client::new();
    operator.configure("");
    operator.bootstrap();
    let server = operator.serve();
    keep(&server, &http);
    for _ in 0..300 {
        assert_eq!(server.json(&http, "POST", "/v1/kms/nl-01/keys/k/rotate", Json::Null).0, 200);
    }
    let second = "[[root_keys]]\ncustody = 'file'\nfile = 'second.key'\n\
                  [[root_keys]]\ncustody = 'file'\nfile = 'root.key'";
    operator.configure(second);
    // While the server serves.
    let made = operator.run(&["root-key"]);
    assert!(made.well && made.said.contains(" is made: ") && made.said.contains(" is there: "));
    assert!(operator.run(&["root-key"]).said.matches(" is there: ").count() == 2, "never twice");
    assert_eq!(server.stop().0, Some(0));

    let mut server = operator.serve();
    is_kept(&server, &http);
    let log = wait_for(&mut server, "everything is under it");
    assert!(log.contains("256 of 303 keys"), "{log}");
    is_kept(&server, &http);
    assert_eq!(server.stop().0, Some(0));

    operator.configure("[[root_keys]]\ncustody = 'file'\nfile = 'second.key'");
    fs::remove_file(operator.file("data/root.key")).unwrap();
    let server = operator.serve();
    is_kept(&server, &http);
    drop(server);
    operator.configure("");
    operator.refused("put the root key back");
    let refused = operator.run(&["root-key"]);
    assert!(!refused.well && refused.log.contains("put the root key back"), "{}", refused.log);

    // Two entries with one key are a mistake; a spare entry whose key is gone is none.
    let spare = "[[root_keys]]\ncustody = 'file'\nfile = 'second.key'\n\
                 [[root_keys]]\ncustody = 'file'\nfile = 'third.key'";
    operator.configure(spare);
    let (code, log) = operator.serve().stop();
    assert!(code == Some(0) && log.contains("third.key is missing"), "{log}");
    fs::copy(operator.file("data/second.key"), operator.file("data/third.key")).unwrap();
    operator.refused("the same root key");
    operator.configure("[[root_keys]]\ncustody = 'file'\nkey = 'second.key'");
    operator.refused("unknown field `key`");
}

#[test]
fn a_root_key_comes_as_a_credential_or_on_a_descriptor() {
    let mut operator = Operator::new();
    let http = Client::new();
    operator.configure("");
    operator.fill(&http);
    let text = fs::read_to_string(operator.file("data/root.key")).unwrap();
    fs::remove_file(operator.file("data/root.key")).unwrap();

    operator.configure("[[root_keys]]\ncustody = 'credential'\ncredential = 'coffer-root'");
    operator.refused("CREDENTIALS_DIRECTORY");
    operator.env.insert("CREDENTIALS_DIRECTORY", operator.folder.path().to_owned());
    operator.refused("is missing");
    operator.write_private("coffer-root", &text);
    is_kept(&operator.serve(), &http);
    // As systemd shows one that a service's user is let in to by an access control list.
    fs::set_permissions(operator.file("coffer-root"), fs::Permissions::from_mode(0o440)).unwrap();
    is_kept(&operator.serve(), &http);
    fs::set_permissions(operator.file("coffer-root"), fs::Permissions::from_mode(0o644)).unwrap();
    operator.refused("can be read by others");
    // A new root key in a file in front of the credential: what cannot be read from a shell is told.
    fs::set_permissions(operator.file("coffer-root"), fs::Permissions::from_mode(0o400)).unwrap();
    operator.configure(
        "[[root_keys]]\ncustody = 'file'\nfile = 'new.key'\n\
         [[root_keys]]\ncustody = 'credential'\ncredential = 'coffer-root'",
    );
    operator.env.clear();
    let made = operator.run(&["root-key"]);
    assert!(made.well && made.said.contains(" is made: "), "{} {}", made.said, made.log);
    assert!(made.said.contains("cannot be read from here: credential"), "{}", made.said);
    fs::remove_file(operator.file("data/new.key")).unwrap();
    fs::remove_file(operator.file("coffer-root")).unwrap();

    operator.configure("[[root_keys]]\ncustody = 'descriptor'\ndescriptor = 0");
    let mut piped = operator.command(&["serve"]);
    piped.stdin(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let endpoint = line.trim().strip_prefix("Coffer listens on ").unwrap().to_owned();
    let env = HashMap::from([
        ("COFFER_ENDPOINT".to_owned(), endpoint),
        ("COFFER_TOKEN".to_owned(), operator.token.clone()),
        ("COFFER_ORGANISATION".to_owned(), "acme".to_owned()),
    ]);
    is_kept(&Server { child, said: line, env }, &http);
    operator.refused("holds no root key");
}

/// A fresh token; `None` where SoftHSM is not installed.
fn token(operator: &mut Operator) -> Option<()> {
    if !Path::new(MODULE).exists() {
        assert!(std::env::var_os("COFFER_TEST_SCRIPT").is_none(), "{MODULE} is not installed");
        println!("skipped: {MODULE} is not installed; `./test` installs it");
        return None;
    }
    fs::create_dir(operator.file("tokens")).unwrap();
    let text = format!("directories.tokendir = {}\n", operator.file("tokens").display());
    fs::write(operator.file("softhsm2.conf"), text).unwrap();
    operator.env.insert("SOFTHSM2_CONF", operator.file("softhsm2.conf"));
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "coffer", "--so-pin", "5678", "--pin", "1234"])
        .envs(&operator.env)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    operator.write_private("pin", "1234\n");
    Some(())
}

fn pkcs11(operator: &Operator, file: &str) -> String {
    format!(
        "[[root_keys]]\ncustody = 'pkcs11'\nmodule = '{MODULE}'\ntoken = 'coffer'\n\
         pin_file = '{}'\nfile = '{file}'\n",
        operator.file("pin").display()
    )
}

#[test]
fn a_token_seals_the_root_key() {
    let mut operator = Operator::new();
    if token(&mut operator).is_none() {
        return;
    }
    let http = Client::new();
    operator.configure(&pkcs11(&operator, "root.sealed"));
    operator.fill(&http);
    let server = operator.serve();
    is_kept(&server, &http);
    // No call to the token after the start: it can be away.
    fs::rename(operator.file("tokens"), operator.file("away")).unwrap();
    is_kept(&server, &http);
    assert_eq!(server.json(&http, "POST", "/v1/kms/nl-01/keys/k/rotate", Json::Null).0, 200);
    assert_eq!(server.stop().0, Some(0));
    fs::create_dir(operator.file("tokens")).unwrap();
    operator.refused("there is no token coffer");
    fs::remove_dir(operator.file("tokens")).unwrap();
    fs::rename(operator.file("away"), operator.file("tokens")).unwrap();

    let sealed = fs::read_to_string(operator.file("data/root.sealed")).unwrap();
    assert!(sealed.starts_with("coffer-sealed-root-key-1:"), "{sealed}");
    for (name, bytes) in operator.files() {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("coffer-root-key-1:"), "{} holds a root key", name.display());
    }
    operator.write_private("pin", "4321");
    operator.refused("PIN is incorrect");
    operator.write_private("pin", "1234");
    fs::set_permissions(operator.file("pin"), fs::Permissions::from_mode(0o644)).unwrap();
    operator.refused("can be read by others");
    operator.write_private("pin", "1234");
    let mut altered = sealed.clone().into_bytes();
    altered[40] = if altered[40] == b'A' { b'B' } else { b'A' };
    operator.write_private("data/root.sealed", std::str::from_utf8(&altered).unwrap());
    operator.refused("no key coffer-root of the token opens it");
    operator.write_private("data/root.sealed", &sealed);
    is_kept(&operator.serve(), &http);
}

#[test]
fn two_keys_or_two_tokens_of_one_name_lose_nothing() {
    let mut operator = Operator::new();
    if token(&mut operator).is_none() {
        return;
    }
    let http = Client::new();
    operator.configure(&pkcs11(&operator, "root.sealed"));
    operator.fill(&http);
    // A second key with the label: as when two first starts have met.
    fs::write(operator.file("raw"), [7; 32]).unwrap();
    let imported = Command::new("softhsm2-util")
        .args(["--import", operator.file("raw").to_str().unwrap(), "--aes", "--token", "coffer"])
        .args(["--label", "coffer-root", "--id", "A1", "--pin", "1234"])
        .envs(&operator.env)
        .output()
        .unwrap();
    assert!(imported.status.success(), "{imported:?}");
    is_kept(&operator.serve(), &http);
    let second = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "coffer", "--so-pin", "5678", "--pin", "4321"])
        .envs(&operator.env)
        .output()
        .unwrap();
    assert!(second.status.success(), "{second:?}");
    operator.refused("several tokens coffer");
}

#[test]
fn many_at_once_make_one_root_key() {
    let operator = Operator::new();
    operator.configure("[[root_keys]]\ncustody = 'file'\nfile = 'a.key'");
    let all: Vec<_> = (0..8).map(|_| operator.command(&["root-key"]).spawn().unwrap()).collect();
    let said: Vec<_> = all
        .into_iter()
        .map(|child| String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap())
        .filter(|said| !said.is_empty())
        .map(|said| said.split(' ').nth(2).unwrap().to_owned())
        .collect();
    assert!(!said.is_empty() && said.iter().all(|fingerprint| *fingerprint == said[0]), "{said:?}");
    fs::write(operator.file("data/a.key.0123456789abcdef.unfinished"), "half").unwrap();
    let text = fs::read_to_string(operator.file("data/a.key")).unwrap();
    assert!(text.starts_with("coffer-root-key-1:"), "whole");
    assert!(operator.run(&["bootstrap", "--organisation", "a", "--owner", "o@a.invalid"]).well);
    let names = fs::read_dir(operator.file("data")).unwrap();
    let mut names: Vec<_> = names.map(|name| name.unwrap().file_name()).collect();
    names.retain(|name| !name.to_string_lossy().starts_with("coffer.db"));
    names.sort();
    assert_eq!(names, ["a.key", "lock"]);
}

#[test]
fn a_root_key_moves_from_a_file_into_a_token() {
    let mut operator = Operator::new();
    if token(&mut operator).is_none() {
        return;
    }
    let http = Client::new();
    operator.configure("");
    operator.fill(&http);
    let token = pkcs11(&operator, "root.sealed");
    operator.configure(&format!("{token}[[root_keys]]\ncustody = 'file'\n"));
    operator.refused("cofferd root-key");
    let made = operator.run(&["root-key"]);
    assert!(made.well, "{}", made.log);
    let mut server = operator.serve();
    is_kept(&server, &http);
    wait_for(&mut server, "everything is under it");
    assert_eq!(server.stop().0, Some(0));
    operator.configure(&token);
    fs::remove_file(operator.file("data/root.key")).unwrap();
    is_kept(&operator.serve(), &http);
}

/// Set for the process that makes a key in the token of a test.
const WITHIN: &str = "COFFER_TEST_TOKEN";

/// Makes a sealing key that can be taken out of the token which the environment names.
fn make_extractable_key() {
    use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
    use cryptoki::mechanism::Mechanism;
    use cryptoki::object::Attribute;
    use cryptoki::session::UserType;
    let module = Pkcs11::new(MODULE).unwrap();
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let slot = module.get_slots_with_initialized_token().unwrap().remove(0);
    let session = module.open_rw_session(slot).unwrap();
    session.login(UserType::User, Some(&cryptoki::types::AuthPin::new("1234".into()))).unwrap();
    let template = [
        Attribute::Token(true),
        Attribute::Sensitive(false),
        Attribute::Extractable(true),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::ValueLen(32.into()),
        Attribute::Label("coffer-root".into()),
    ];
    session.generate_key(&Mechanism::AesKeyGen, &template).unwrap();
}

#[test]
fn a_key_that_can_leave_the_token_seals_nothing() {
    if std::env::var_os(WITHIN).is_some() {
        return make_extractable_key();
    }
    let mut operator = Operator::new();
    if token(&mut operator).is_none() {
        return;
    }
    // The module reads the environment of its process, so the key is made in another one.
    let mut own = Command::new(std::env::current_exe().unwrap());
    own.args(["--exact", "custody::a_key_that_can_leave_the_token_seals_nothing"]);
    own.env(WITHIN, "1");
    assert!(own.envs(&operator.env).stdout(Stdio::null()).status().unwrap().success());
    operator.configure(&pkcs11(&operator, "root.sealed"));
    let done = operator.run(&["bootstrap", "--organisation", "acme", "--owner", "o@acme.invalid"]);
    assert!(!done.well && done.log.contains("can be extracted"), "{}", done.log);
    assert!(!operator.file("data/root.sealed").exists());
}

/// The number of kilobytes that a process has locked in memory.
fn locked(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn memory_is_kept_out_of_swap_where_the_system_allows_it() {
    let mut operator = Operator::new();
    operator.configure("");
    operator.bootstrap();
    let server = operator.serve();
    let amount = locked(&server);
    let log = server.stop().1;
    assert_eq!(amount > 0, !log.contains("not kept out of swap"), "{amount} {log}");

    operator.configure("memory_lock = 'off'");
    let server = operator.serve();
    assert_eq!(locked(&server), 0);
    drop(server);

    // Without the right to lock, and with a small limit.
    let without = |arguments: &[&str]| {
        let mut command = Command::new("prlimit");
        command.arg("--memlock=65536:65536");
        if fs::metadata("/proc/self")
            .is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
        {
            command.args(["setpriv", "--bounding-set=-ipc_lock,-sys_resource"]);
        }
        command.arg(env!("CARGO_BIN_EXE_cofferd")).args(arguments);
        command.args(["--config", operator.file("coffer.toml").to_str().unwrap()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    operator.configure("memory_lock = 'require'");
    let refused = without(&["serve"]).output().unwrap();
    let log = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && log.contains("`memory_lock` requires"), "{log}");
    assert!(log.contains("LimitMEMLOCK"), "{log}");
    operator.configure("memory_lock = 'try'");
    let server = operator.started(&mut without(&["serve"]));
    assert_eq!(locked(&server), 0);
    assert!(server.stop().1.contains("not kept out of swap"));
}

#[test]
fn the_clock_rotates_and_purges_from_the_start_on() {
    let mut operator = Operator::new();
    let http = Client::new();
    operator.configure("");
    operator.bootstrap();
    let server = operator.serve();
    keep(&server, &http);
    let going = json!({"name": "going"});
    assert_eq!(server.json(&http, "POST", "/v1/kms/nl-01/keys", going).0, 201);
    assert_eq!(server.json(&http, "DELETE", "/v1/kms/nl-01/keys/going", Json::Null).0, 200);
    let period = json!({"keyRotationEnabled": true, "rotationPeriodInDays": 30});
    assert_eq!(server.json(&http, "PATCH", "/v1/kms/nl-01/keys/k/rotation", period).0, 200);
    assert_eq!(server.stop().0, Some(0));
    let file = rusqlite::Connection::open(operator.file("data/coffer.db")).unwrap();
    file.execute_batch(
        "UPDATE kms_key_versions SET created_at = created_at - 31 * 86400000000;
         UPDATE kms_keys SET deletion_scheduled_at = deletion_scheduled_at - 31 * 86400000000",
    )
    .unwrap();
    drop(file);
    let server = operator.serve();
    let ended = |action: &str| {
        let url = format!("/v1/audit?includeSystemServices=true&action={action}");
        server.json(&http, "GET", &url, Json::Null).1["totalItems"] == 1
    };
    let started = std::time::Instant::now();
    while !(ended("kms.purge") && ended("kms.rotate.scheduled")) {
        assert!(started.elapsed().as_secs() < 30, "the clock does nothing");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (_, key) = server.json(&http, "GET", "/v1/kms/nl-01/keys/k", Json::Null);
    assert_eq!(key["latestVersion"], 2);
}
