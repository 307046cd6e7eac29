//! The whole harness: a fresh database, the real router, a fixed clock, two organisations, people by role.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use coffer_crypto::{RootKey, token};
use coffer_server::app::App;
use coffer_server::backup::Progress;
use coffer_server::clock::Clock;
use coffer_server::config::{Config, RegionConfig, StoreConfig};
use coffer_server::http;
use coffer_server::keyring::Keyring;
use coffer_server::model::identity::{MemberRole, User};
use coffer_server::model::project::Project;
use coffer_server::model::role::Rule;
use coffer_server::model::scopes::Scopes;
use coffer_server::model::team::Team;
use coffer_server::platform;
use coffer_server::proof::Older;
use coffer_server::store::{NewBinding, NewRole, NewToken, Store, Tx};
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};

/// 2026-01-15T12:00:00Z, a Thursday: what the clock shows until a test moves it.
pub const NOON: i64 = 1_768_478_400_000_000;

pub struct World {
    pub app: Arc<App>,
    router: Router,
    now: Arc<AtomicI64>,
    /// The root key's text.
    pub root: String,
    pub folder: tempfile::TempDir,
    /// Everything is on; region `nl-01` has KMS, `de-01` has none.
    pub acme: Organisation,
    /// Another organisation with the same slugs inside.
    pub globex: Organisation,
    /// Owner of acme.
    pub owner: Person,
    /// Owner of globex.
    pub stranger: Person,
    /// Member of acme without any role.
    pub nobody: Person,
}

#[derive(Clone, Debug)]
pub struct Organisation {
    pub id: String,
    pub slug: String,
    /// Identity of an active key with the slug `default` in `nl-01`.
    pub key: String,
}

#[derive(Clone, Debug)]
pub struct Person {
    pub subject: String,
    pub token: String,
    /// The organisation that is named in this person's calls.
    pub organisation: String,
}

/// An answer, its body parsed when it is JSON.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Json,
    pub text: String,
}

/// A request that is being put together.
pub struct Asking<'w> {
    world: &'w World,
    method: &'static str,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    peer: IpAddr,
}

/// A project with nothing but its names.
pub fn project_row(id: &str, slug: &str) -> Project {
    let none = coffer_api::Map::new();
    Project {
        id: id.to_owned(),
        slug: slug.to_owned(),
        name: slug.to_owned(),
        description: String::new(),
        labels: none.clone(),
        annotations: none,
        parent: String::new(),
        created_at: NOON,
        updated_at: NOON,
        object_version: 1,
    }
}

/// The server that the tests run on in place of SQLite: the URL of an empty database.
#[expect(clippy::disallowed_methods, reason = "the test script says where it has put one")]
pub fn postgres() -> Option<String> {
    std::env::var("COFFER_TEST_POSTGRES").ok()
}

/// Settings of a store in a schema that nobody else has.
pub async fn schema_of_its_own(url: &str) -> StoreConfig {
    let schema = format!(
        "t{}",
        fresh_root().to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "")
    );
    let schema = &schema[..24];
    select(url, &format!("CREATE SCHEMA {schema}"));
    let url = format!("{url}&options=-csearch_path%3D{schema}");
    StoreConfig { url: Some(url), connections: 4, ..StoreConfig::default() }
}

/// Runs SQL on a PostgreSQL server, on a thread of its own; what it finds, as texts.
pub fn select(url: &str, sql: &str) -> Vec<Vec<String>> {
    use tokio_postgres::SimpleQueryMessage::Row;
    let run = async {
        let (client, connection) =
            tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::task::spawn(connection);
        let found = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        drop(client);
        connection.await.unwrap().unwrap();
        let text =
            |row: &tokio_postgres::SimpleQueryRow, at| row.get(at).unwrap_or_default().to_owned();
        let rows = found.iter().filter_map(|message| match message {
            Row(row) => Some((0..row.len()).map(|at| text(row, at)).collect()),
            _ => None,
        });
        rows.collect()
    };
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(run)
        });
        run.join().unwrap()
    })
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A world whose configuration is changed first.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let region = |slug: &str, kms| RegionConfig { slug: slug.into(), name: None, kms };
        let mut config = Config {
            data: folder.path().to_owned(),
            regions: vec![region("nl-01", true), region("de-01", false)],
            ..Config::default()
        };
        // Most tests fail to authenticate more often than a client should.
        config.limits.auth_failures_per_minute = 0;
        change(&mut config);
        let now = Arc::new(AtomicI64::new(NOON));
        let lock = coffer_server::store::lock(folder.path()).unwrap();
        let store = match postgres() {
            None => Store::open(folder.path(), lock).unwrap(),
            Some(url) => {
                config.store = schema_of_its_own(&url).await;
                Store::connect(&config.store, folder.path(), lock).unwrap()
            }
        };
        let root = fresh_root();
        let app = App::new(store, keyring(&[&root]), Clock::Fixed(now.clone()), config);
        coffer_server::prepare(&app).await.unwrap();
        let router = http::router(app.clone());
        let none = Organisation { id: String::new(), slug: String::new(), key: String::new() };
        let blank =
            Person { subject: String::new(), token: String::new(), organisation: String::new() };
        let mut world = Self {
            app,
            router,
            now,
            root,
            folder,
            acme: none.clone(),
            globex: none,
            owner: blank.clone(),
            stranger: blank.clone(),
            nobody: blank,
        };
        (world.acme, world.owner) = world.organisation("acme").await;
        (world.globex, world.stranger) = world.organisation("globex").await;
        world.nobody = world.person().await;
        world
    }

    /// One more server on the same store, with these root keys; the calls go to it from now on.
    pub async fn restart(&mut self, roots: &[&str]) -> coffer_server::error::Result<()> {
        let app = self.server(roots);
        platform::root_keys::check(&app).await?;
        self.continue_with(app);
        Ok(())
    }

    /// The calls go to this server from now on.
    pub fn continue_with(&mut self, app: Arc<App>) {
        self.router = http::router(app.clone());
        self.app = app;
    }

    /// One more server on the same store.
    pub fn server(&self, roots: &[&str]) -> Arc<App> {
        let config = self.app.config.clone();
        App::new(self.app.store.clone(), keyring(roots), self.app.clock.clone(), config)
    }

    /// One more organisation with its owner and a key `default`.
    pub async fn organisation(&self, slug: &str) -> (Organisation, Person) {
        let (id, name) = (self.fresh_id("o-"), slug.to_owned());
        let (made, clock) = (id.clone(), self.app.clock.clone());
        self.write("", async move |tx| {
            tx.insert_organisation((&made, &name, &name), NOON, || clock.fresh_id("")).await
        })
        .await;
        let owner = self.member(&id, MemberRole::Owner).await;
        let key = self.key(&owner, "default").await;
        (Organisation { id, slug: slug.to_owned(), key }, owner)
    }

    /// A person with a token, member of an organisation.
    pub async fn member(&self, organisation: &str, role: MemberRole) -> Person {
        let subject = self.fresh_id("usr-");
        let user = User {
            subject: subject.clone(),
            name: subject.clone(),
            email: format!("{subject}@example.invalid"),
            created_at: NOON,
        };
        let (member, token_id) = (self.fresh_id("m-"), self.fresh_id("pat-"));
        let text = token::mint_pat().unwrap().to_string();
        let hash = token::hash(&text);
        let of = subject.clone();
        self.write(organisation, async move |tx| {
            tx.insert_user(&user).await?;
            tx.insert_member(&member, &of, role, NOON).await?;
            let token = NewToken {
                id: &token_id,
                subject: &of,
                name: "test",
                scopes: &Scopes::default(),
                expires_at: None,
            };
            tx.insert_token(&hash, &token, NOON).await
        })
        .await;
        Person { subject, token: text, organisation: organisation.to_owned() }
    }

    /// A member of acme without any role.
    pub async fn person(&self) -> Person {
        let acme = self.acme.id.clone();
        self.member(&acme, MemberRole::Member).await
    }

    /// A new administrator of the platform, whose calls name no organisation.
    pub async fn administrator(&self) -> Person {
        let (made, token) =
            platform::administrators::create(&self.app, "operator", None).await.unwrap();
        Person { subject: made.id, token: token.to_string(), organisation: String::new() }
    }

    /// A member of acme with a role that has one rule.
    pub async fn person_with(
        &self,
        resource: &str,
        identities: &[&str],
        permissions: &[&str],
    ) -> Person {
        let person = self.person().await;
        self.grant(&person, resource, identities, permissions).await;
        person
    }

    /// A member of acme with a system role, by slug, for example `secrets-read-access`.
    pub async fn person_as(&self, role: &str) -> Person {
        let person = self.person().await;
        let role = role.to_owned();
        let (binding, subject) = (self.fresh_id(""), person.subject.clone());
        self.write(&person.organisation, async move |tx| {
            let role = tx.find_role(&role).await?.unwrap().id;
            tx.insert_binding(&NewBinding::between(&binding, &role, ("user", &subject)), NOON).await
        })
        .await;
        person
    }

    /// Binds a new role with one rule to a person.
    pub async fn grant(
        &self,
        person: &Person,
        resource: &str,
        identities: &[&str],
        permissions: &[&str],
    ) {
        let owned =
            |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (resource, identities, permissions) =
            (resource.to_owned(), owned(identities), owned(permissions));
        let ids = [self.fresh_id(""), self.fresh_id(""), self.fresh_id("")];
        let subject = person.subject.clone();
        self.write(&person.organisation, async move |tx| {
            let [role, rule, binding] = &ids;
            let rule = Rule {
                id: rule.clone(),
                resources: vec![resource.clone()],
                identities: identities.clone(),
                permissions: permissions.clone(),
                note: String::new(),
            };
            tx.insert_role(&NewRole::named(role, role, role), NOON).await?;
            tx.insert_rule(role, &rule).await?;
            tx.insert_binding(&NewBinding::between(binding, role, ("user", &subject)), NOON).await
        })
        .await;
    }

    /// A project of acme: its identity.
    pub async fn project(&self, slug: &str) -> String {
        let (id, name) = (self.fresh_id("prj-"), slug.to_owned());
        let made = id.clone();
        self.write(&self.acme.id, async move |tx| {
            tx.insert_project(&project_row(&made, &name)).await
        })
        .await;
        id
    }

    /// A new active key in `nl-01`: its identity.
    pub async fn key(&self, by: &Person, name: &str) -> String {
        self.key_of(by, json!({"name": name})).await
    }

    /// A new key in `nl-01` as the request says: its identity.
    pub async fn key_of(&self, by: &Person, request: Json) -> String {
        let made = self.post(by, "/v1/kms/nl-01/keys").json(request).send().await;
        assert_eq!(made.status, 201, "{}", made.text);
        made.body["identity"].as_str().unwrap().to_owned()
    }

    /// A new secret of acme in `nl-01` with a string value, made by its owner.
    pub async fn secret(&self, path: &str, value: &str) -> Json {
        let made = self
            .post(&self.owner, "/v1/secrets/nl-01/secrets")
            .json(json!({
                "path": path, "kmsKeyIdentity": self.acme.key, "secretString": base64(value)
            }))
            .send()
            .await;
        assert_eq!(made.status, 201, "{}", made.text);
        made.body
    }

    /// Turns acme's gates on and off: secrets, kms, projects.
    pub async fn set_gates(&self, gates: [bool; 3]) {
        let acme = self.acme.id.clone();
        self.write("", async move |tx| tx.set_gates(&acme, gates, NOON).await).await;
    }

    /// Turns a region's KMS on or off.
    pub async fn set_region_kms(&self, slug: &str, kms: bool) {
        let slug = slug.to_owned();
        let id = self.fresh_id("r-");
        self.write("", async move |tx| tx.upsert_region((&id, &slug, &slug), kms, NOON).await)
            .await;
    }

    /// Writes past the door, as only a test may.
    pub async fn write<T, F>(&self, organisation: &str, operation: F) -> T
    where
        T: Send + 'static,
        F: AsyncFn(&mut Tx) -> coffer_server::error::Result<T> + Send + 'static,
    {
        self.app.store.write(organisation, operation).await.unwrap()
    }

    /// Runs SQL on the database itself, behind the server's back.
    pub fn sql(&self, sql: &str) {
        if let Some(url) = &self.app.config.store.url {
            let loose = "SET session_replication_role = replica";
            select(url, &sql.replace("PRAGMA foreign_keys = OFF", loose));
            return;
        }
        let file = rusqlite::Connection::open(self.app.config.data.join("coffer.db")).unwrap();
        file.execute_batch(sql).unwrap();
    }

    /// What SQL finds in the database itself, as texts.
    pub fn select(&self, sql: &str) -> Vec<Vec<String>> {
        if let Some(url) = &self.app.config.store.url {
            return select(url, sql);
        }
        let file = rusqlite::Connection::open(self.app.config.data.join("coffer.db")).unwrap();
        let mut statement = file.prepare(sql).unwrap();
        let columns = statement.column_count();
        let text = |row: &rusqlite::Row<'_>, at| match row.get_ref_unwrap(at) {
            rusqlite::types::ValueRef::Integer(number) => number.to_string(),
            rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            rusqlite::types::ValueRef::Blob(bytes) => {
                bytes.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
            }
            _ => String::new(),
        };
        let rows =
            statement.query_map([], |row| Ok((0..columns).map(|at| text(row, at)).collect()));
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// The one number that SQL finds.
    pub fn count(&self, sql: &str) -> i64 {
        self.select(sql)[0][0].parse().unwrap()
    }

    /// The bytes that SQL finds in its first column.
    pub fn bytes(&self, sql: &str) -> Vec<Vec<u8>> {
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let rows = self.select(sql).into_iter();
        rows.map(|row| row[0].as_bytes()[2..].chunks(2).map(byte).collect()).collect()
    }

    /// Bytes as SQL writes them.
    pub fn literal(&self, bytes: &[u8]) -> String {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        if self.is_embedded() { format!("x'{digits}'") } else { format!("'\\x{digits}'::bytea") }
    }

    /// The names of all tables.
    pub fn tables(&self) -> Vec<String> {
        let sql = match self.is_embedded() {
            true => "SELECT name FROM sqlite_master WHERE type = 'table'",
            false => {
                "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
            }
        };
        self.select(sql).into_iter().flatten().collect()
    }

    /// Every row of every table.
    pub fn everything(&self) -> String {
        let tables = self.tables().into_iter();
        tables.map(|name| format!("{:?}", self.select(&format!("SELECT * FROM {name}")))).collect()
    }

    /// Whether the store is the embedded one, whose file the test looks into.
    pub fn is_embedded(&self) -> bool {
        self.app.config.store.url.is_none()
    }

    /// Sets the clock, in microseconds since 1970.
    pub fn set_now(&self, now: i64) {
        self.now.store(now, Ordering::SeqCst);
    }

    pub fn fresh_id(&self, prefix: &str) -> String {
        self.app.clock.fresh_id(prefix).unwrap()
    }

    /// Whether the whole log proves itself: what there is to say of it, or what is wrong.
    pub fn verify_log(&self) -> anyhow::Result<String> {
        self.verify_log_with(Older::Refused)
    }

    pub fn verify_log_with(&self, older: Older) -> anyhow::Result<String> {
        self.write_root_key(&self.app.config.data);
        let verify =
            || coffer_server::proof::verify(&self.app.config, None, older, &Progress::default());
        // It has a runtime of its own.
        std::thread::scope(|scope| scope.spawn(verify).join().unwrap())
    }

    /// The root key as an operator keeps it, in a folder of the server's.
    pub fn write_root_key(&self, folder: &Path) {
        let file = folder.join("root.key");
        fs::write(&file, &self.root).unwrap();
        for (name, rights) in [(folder, 0o700), (file.as_path(), 0o600)] {
            fs::set_permissions(name, fs::Permissions::from_mode(rights)).unwrap();
        }
    }

    /// Every audit record of acme that matches `query` (for example `action=secrets.create`), newest first.
    pub async fn audit(&self, query: &str) -> Vec<Json> {
        let url = format!("/v1/audit?limit=500&{query}");
        let found = self.get(&self.owner, &url).send().await;
        assert_eq!(found.status, 200, "{}", found.text);
        found.body["items"].as_array().unwrap().clone()
    }

    pub fn get(&self, by: &Person, url: &str) -> Asking<'_> {
        self.ask("GET", by, url)
    }

    pub fn post(&self, by: &Person, url: &str) -> Asking<'_> {
        self.ask("POST", by, url)
    }

    pub fn put(&self, by: &Person, url: &str) -> Asking<'_> {
        self.ask("PUT", by, url)
    }

    pub fn patch(&self, by: &Person, url: &str) -> Asking<'_> {
        self.ask("PATCH", by, url)
    }

    pub fn delete(&self, by: &Person, url: &str) -> Asking<'_> {
        self.ask("DELETE", by, url)
    }

    /// A call with a person's token and organisation.
    pub fn ask(&self, method: &'static str, by: &Person, url: &str) -> Asking<'_> {
        self.anonymous(method, url)
            .header("authorization", &format!("Bearer {}", by.token))
            .header("x-organisation-identity", &by.organisation)
    }

    /// A call without any header.
    pub fn anonymous(&self, method: &'static str, url: &str) -> Asking<'_> {
        Asking {
            world: self,
            method,
            url: url.to_owned(),
            headers: Vec::new(),
            body: None,
            peer: IpAddr::from([127, 0, 0, 1]),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.app.store.close();
    }
}

impl Asking<'_> {
    /// Sets a header, in place of one with the same name.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.add_header(name, value)
    }

    /// Adds a header beside others with the same name.
    pub fn add_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    pub fn project(self, project: &str) -> Self {
        self.header("x-project-identity", project)
    }

    pub fn json(self, body: Json) -> Self {
        self.raw(body.to_string().as_bytes())
    }

    /// A body that is sent as JSON, whatever it is.
    pub fn raw(mut self, body: &[u8]) -> Self {
        self.body = Some(body.to_vec());
        self.header("content-type", "application/json")
    }

    /// A form, each value escaped.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let escaped =
            |text| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
        let pairs = fields.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
        let body = pairs.collect::<Vec<_>>().join("&");
        self.raw(body.as_bytes()).header("content-type", "application/x-www-form-urlencoded")
    }

    /// The address the connection comes from.
    pub fn from(mut self, peer: &str) -> Self {
        self.peer = peer.parse().unwrap();
        self
    }

    pub async fn send(mut self) -> Answer {
        let body = self.body.take().map_or(Body::empty(), Body::from);
        self.send_body(body).await
    }

    /// Sends the head, lets something happen, then sends the body.
    pub async fn send_after(
        mut self,
        between: impl Future<Output = ()> + Send + 'static,
    ) -> Answer {
        let body = self.body.take().unwrap_or_default();
        let late = async move {
            between.await;
            Ok::<_, std::convert::Infallible>(body)
        };
        self.send_body(Body::from_stream(futures_util::stream::once(late))).await
    }

    /// As [`Asking::send`], to another server on the same store.
    pub async fn send_to(mut self, app: Arc<App>) -> Answer {
        let body = self.body.take().map_or(Body::empty(), Body::from);
        let router = http::router(app.clone());
        self.send_through(&app, router, body).await
    }

    async fn send_body(self, body: Body) -> Answer {
        let world = self.world;
        self.send_through(&world.app, world.router.clone(), body).await
    }

    async fn send_through(self, app: &Arc<App>, router: Router, body: Body) -> Answer {
        let mut request = Request::builder().method(self.method).uri(&self.url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(body).unwrap();
        let reply = http::answer(app, router, self.peer, request).await;
        let (parts, body) = reply.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_str(&text).unwrap_or(Json::Null),
            text,
        }
    }

    /// Sends, and checks the status.
    pub async fn expect(self, status: u16) -> Answer {
        let about = format!("{} {}", self.method, self.url);
        let answer = self.send().await;
        assert_eq!(answer.status, status, "{about}: {}", answer.text);
        answer
    }
}

impl Answer {
    /// The error's message.
    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

pub fn base64(text: impl AsRef<[u8]>) -> String {
    use ::base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(text)
}

/// What a revealed string is, decoded.
pub fn text_of(revealed: &Answer) -> String {
    use ::base64::{Engine, engine::general_purpose::STANDARD};
    let encoded = revealed.body["secretString"].as_str().unwrap();
    String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
}

/// A new root key's text.
pub fn fresh_root() -> String {
    RootKey::generate_text().unwrap().to_string()
}

pub fn keyring(roots: &[&str]) -> Keyring {
    let mut keys = roots.iter().map(|root| RootKey::parse(root).unwrap());
    Keyring::new(keys.next().unwrap(), keys.collect())
}

/// A team with nothing but its names.
pub fn team(id: &str, slug: &str, now: i64) -> Team {
    Team {
        id: id.to_owned(),
        slug: slug.to_owned(),
        name: slug.to_owned(),
        description: String::new(),
        labels: coffer_api::Map::new(),
        annotations: coffer_api::Map::new(),
        created_at: now,
        updated_at: now,
    }
}
