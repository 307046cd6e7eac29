//! TLS to a PostgreSQL server that has a certificate. Left out where the tests have none.

use coffer_server::config::StoreConfig;
use coffer_server::store::{Store, lock};

use crate::world::{postgres, schema_of_its_own, select};

/// The certificate of whoever has signed the server's, which is for `localhost`.
#[expect(clippy::disallowed_methods, reason = "the test script says where it has put one")]
fn authority() -> Option<String> {
    std::env::var("COFFER_TEST_POSTGRES_CA").ok()
}

/// Opens a store there; what went wrong.
fn open(settings: &StoreConfig) -> Result<Store, String> {
    let folder = tempfile::tempdir().unwrap();
    let lock = lock(folder.path()).unwrap();
    Store::connect(settings, folder.path(), lock).map_err(|error| format!("{error:#}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_whom_its_certificate_names() {
    let (Some(plain), Some(ca)) = (postgres(), authority()) else { return };
    let mine = schema_of_its_own(&plain).await;
    let at = |host: &str| {
        let url = mine.url.as_ref().unwrap().replace("127.0.0.1", host);
        url.replace("sslmode=disable", "sslmode=require&application_name=tls_test")
    };
    let settings = |host: &str, ca: Option<&str>| StoreConfig {
        url: Some(at(host)),
        ca_file: ca.map(Into::into),
        ..mine.clone()
    };
    let store = open(&settings("localhost", Some(&ca))).unwrap();
    let open_now = "SELECT DISTINCT ssl, version FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                    WHERE application_name = 'cofferd' AND ssl";
    assert_eq!(select(&plain, open_now), [["t", "TLSv1.3"]]);
    store.close();

    // Another name than that of the certificate; an authority that has not signed it; the system's, which have not.
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let stranger = folder.path().join("ca.pem");
    std::fs::write(&stranger, other.cert.pem()).unwrap();
    for refused in [
        settings("127.0.0.1", Some(&ca)),
        settings("localhost", stranger.to_str()),
        settings("localhost", None),
    ] {
        let why = open(&refused).map(drop).unwrap_err();
        assert!(!why.contains("canary") && why.to_lowercase().contains("tls"), "{why}");
    }
}
