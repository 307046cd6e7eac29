//! A new store out of a backup: made and checked beside, then given its name.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use tokio::runtime::Handle;

use super::head::Head;
use super::records::{Manifest, Record};
use super::{Progress, keyring_for, needed, output, records};
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::custody::{self, Unfinished};
use crate::keyring::Keyring;
use crate::platform;
use crate::store::{self, Filling, Loading, Snapshot, Store};

/// Makes a store in the data folder out of a backup: what there is to say of it. Called on a thread that may wait.
pub fn restore(config: Config, from: &Path, progress: &Progress) -> Result<String> {
    super::check_embedded(&config)?;
    let data = config.data.clone();
    check_vacant(&data)?;
    let mut input = output::input(from)?;
    let (head, bytes) = Head::read(&mut input)?;
    let keyring = keyring_for(&head, &config)?;
    custody::prepare_folder(&data)?;
    let lock = store::lock(&data)?;
    custody::remove_unfinished(&data)?;
    // Dropped, it is gone with all in it.
    let folder = Unfinished::folder(&data.join("restore"))?;
    progress.begin("restoring");
    let manifest = load(&mut input, &keyring, (&head, bytes.clone()), (folder.path(), progress))?;
    progress.begin("comparing");
    compare(folder.path(), &bytes, &manifest, progress)?;
    Handle::current().block_on(settle(folder.path(), lock.try_clone()?, keyring, config, &head))?;
    store::empty_log(folder.path())?;
    check(folder.path())?;
    check_vacant(&data)?;
    place(folder.path(), &data)?;
    let done = progress.finish(manifest.rows(), input.get_ref().bytes);
    Ok(format!("restored the backup of {}, {}: {done}", head.taken_at, needed(&head)))
}

/// Refuses a folder with anything of a store in it.
///
/// INVARIANT: also with a left log alone, or SQLite would take it for the new store's.
fn check_vacant(data: &Path) -> Result<()> {
    for name in ["coffer.db", "coffer.db-wal", "coffer.db-journal"] {
        let file = data.join(name);
        ensure!(
            file.symlink_metadata().is_err(),
            "{} is there already, and is never overwritten; name another folder as `data`",
            file.display()
        );
    }
    Ok(())
}

/// Fills a store in `folder`.
#[expect(clippy::disallowed_methods, reason = "this is the room that fills whole tables")]
fn load(
    input: impl std::io::Read,
    keyring: &Keyring,
    (head, bytes): (&Head, Vec<u8>),
    (folder, progress): (&Path, &Progress),
) -> Result<Manifest> {
    let loading = Loading::begin(folder, head.schema)?;
    let mut filling: Option<Filling<'_>> = None;
    let manifest = super::read(input, keyring, (head, bytes), |record| {
        match record {
            Record::Table(table) => filling = Some(loading.fill(&table.table, &table.columns)?),
            Record::Row(values) => {
                progress.row()?;
                filling.as_mut().context("a row stands before its table")?.insert(values)?;
            }
        }
        Ok(())
    })?;
    drop(filling);
    loading.finish()?;
    Ok(manifest)
}

/// Reads everything again out of the new store: it must make the same records as the backup has.
#[expect(clippy::disallowed_methods, reason = "this is the room that reads whole tables")]
fn compare(folder: &Path, head: &[u8], manifest: &Manifest, progress: &Progress) -> Result<()> {
    let snapshot = Snapshot::open(folder)?;
    let again = records::write(&snapshot, head, &mut std::io::sink(), &|| progress.row())?;
    let differs = |(table, rows): &(&String, &u64)| again.tables.get(*table) != Some(rows);
    if let Some((table, rows)) = manifest.tables.iter().find(differs) {
        bail!("table {table} came out with other rows than the {rows} of the backup");
    }
    ensure!(again == *manifest, "what came out differs from the backup");
    Ok(())
}

/// Runs the migrations of since, asks for every root key that is needed, and tells the store that it was restored.
async fn settle(
    folder: &Path,
    lock: File,
    keyring: Keyring,
    config: Config,
    head: &Head,
) -> Result<()> {
    let store = Store::open(folder, lock)?;
    let app = App::new(store, keyring, Clock::System, config);
    let settled = async {
        platform::root_keys::check(&app).await?;
        platform::restore::settle(&app, &head.taken_at).await
    };
    let settled = settled.await;
    app.store.close();
    settled.map_err(|error| anyhow::anyhow!("{}", error.cause()))
}

#[expect(clippy::disallowed_methods, reason = "this is the room that reads whole tables")]
fn check(folder: &Path) -> Result<()> {
    Snapshot::open(folder)?.check()
}

/// Gives the store its name.
fn place(folder: &Path, data: &Path) -> Result<()> {
    let (fresh, file) = (folder.join("coffer.db"), data.join("coffer.db"));
    let left = folder.join("coffer.db-wal").metadata().is_ok_and(|log| log.len() > 0);
    ensure!(!left, "the log of the new store is not empty");
    let place = || -> std::io::Result<()> {
        File::open(&fresh)?.sync_all()?;
        fs::rename(&fresh, &file)?;
        custody::sync_folder_of(&file)
    };
    place().with_context(|| format!("cannot write {}", file.display()))
}
