//! A new store out of a backup: made and checked beside, then given its name; or in a marked database of a PostgreSQL
//! server, the mark taken off last.

use std::fs::{self, File};
use std::io::BufRead;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use tokio::runtime::Handle;

use super::head::Head;
use super::records::{Manifest, Record};
use super::{Progress, keyring_for, needed, output, records};
use crate::app::App;
use crate::audit;
use crate::clock::Clock;
use crate::config::Config;
use crate::custody::{self, Unfinished};
use crate::keyring::Keyring;
use crate::platform;
use crate::store::{self, Filling, Loading, NewDatabase, Snapshot, Store};

/// What a store is made out of, and how.
struct Work<'w, I> {
    config: &'w Config,
    lock: &'w File,
    input: &'w mut I,
    head: &'w Head,
    bytes: Vec<u8>,
    progress: &'w Progress,
}

/// Makes a store out of a backup, in the data folder or in the database of the settings: what there is to say of it.
/// Called on a thread that may wait.
pub fn restore(config: &Config, from: &Path, progress: &Progress) -> Result<String> {
    let is_embedded = config.store.url.is_none();
    if is_embedded {
        check_vacant(&config.data)?;
    }
    let mut input = output::input(from)?;
    let (head, bytes) = Head::read(&mut input)?;
    let keyring = keyring_for(&head, config)?;
    custody::prepare_folder(&config.data)?;
    let lock = store::lock(&config.data)?;
    custody::remove_unfinished(&config.data)?;
    progress.begin("restoring");
    let work = Work { config, lock: &lock, input: &mut input, head: &head, bytes, progress };
    let manifest = match is_embedded {
        true => into_folder(work, keyring),
        false => into_database(work, keyring),
    }?;
    let done = progress.finish(manifest.rows(), input.get_ref().bytes);
    Ok(format!("restored the backup of {}, {}: {done}", head.taken_at, needed(&head)))
}

#[expect(clippy::disallowed_methods, reason = "this is the room that fills and reads whole tables")]
fn into_folder(mut work: Work<'_, impl BufRead>, keyring: Keyring) -> Result<Manifest> {
    let data = &work.config.data;
    // Dropped, it is gone with all in it.
    let folder = Unfinished::folder(&data.join("restore"))?;
    let loading = Loading::begin(folder.path(), work.head.schema)?;
    let manifest = load(&mut work, &keyring, &loading)?;
    loading.finish()?;
    compare(&work, &Snapshot::open(folder.path())?, &manifest)?;
    let store = Store::open(folder.path(), work.lock.try_clone()?)?;
    settle(&work, store, keyring)?;
    store::empty_log(folder.path())?;
    Snapshot::open(folder.path())?.check()?;
    check_vacant(data)?;
    place(folder.path(), data)?;
    Ok(manifest)
}

#[expect(clippy::disallowed_methods, reason = "this is the room that fills whole tables")]
fn into_database(mut work: Work<'_, impl BufRead>, keyring: Keyring) -> Result<Manifest> {
    let (settings, folder) = (&work.config.store, &work.config.data);
    let database = NewDatabase::claim(settings, folder, work.head.schema)?;
    let mut is_filled = false;
    let fill = || {
        let progress = work.progress;
        let check = || progress.check();
        let (loading, again) = database.begin(&check)?;
        let manifest = load(&mut work, &keyring, &loading)?;
        compare(&work, &again, &manifest)?;
        loading.finish()?;
        is_filled = true;
        drop(again);
        let store = Store::connect_unfinished(settings, folder, work.lock.try_clone()?)?;
        settle(&work, store, keyring)?;
        work.progress.check()?;
        Ok(manifest)
    };
    match fill() {
        Ok(manifest) => {
            let finished = database.finish();
            finished.context("all is there, but nobody knows whether the database was told so")?;
            Ok(manifest)
        }
        Err(error) => match database.abandon(is_filled) {
            Ok(()) => Err(error),
            Err(left) => {
                bail!("{error:#}; drop the database, for what was begun is still there ({left:#})")
            }
        },
    }
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

/// Puts all rows into a store.
fn load(
    work: &mut Work<'_, impl BufRead>,
    keyring: &Keyring,
    loading: &Loading<'_>,
) -> Result<Manifest> {
    let mut filling: Option<Filling<'_>> = None;
    let head = (work.head, work.bytes.clone());
    let manifest = super::read(&mut work.input, keyring, head, |record| {
        match record {
            Record::Table(table) => {
                filling.take().map_or(Ok(()), Filling::finish)?;
                filling = Some(loading.fill(&table.table, &table.columns)?);
            }
            Record::Row(values) => {
                work.progress.row()?;
                filling.as_mut().context("a row stands before its table")?.insert(values)?;
            }
        }
        Ok(())
    })?;
    filling.map_or(Ok(()), Filling::finish)?;
    Ok(manifest)
}

/// Reads everything again out of the new store: it must make the same records as the backup has.
fn compare<I>(work: &Work<'_, I>, snapshot: &Snapshot<'_>, manifest: &Manifest) -> Result<()> {
    work.progress.begin("comparing");
    let each = || work.progress.row();
    let again = records::write(snapshot, &work.bytes, &mut std::io::sink(), &each)?;
    let differs = |(table, rows): &(&String, &u64)| again.tables.get(*table) != Some(rows);
    if let Some((table, rows)) = manifest.tables.iter().find(differs) {
        bail!("table {table} came out with other rows than the {rows} of the backup");
    }
    ensure!(again == *manifest, "what came out differs from the backup");
    Ok(())
}

/// Asks for every root key that is needed, and tells the store that it was restored.
fn settle<I>(work: &Work<'_, I>, store: Store, keyring: Keyring) -> Result<()> {
    let app = App::new(store, keyring, Clock::System, work.config.clone());
    let settled = Handle::current().block_on(async {
        platform::root_keys::check(&app).await?;
        audit::link_records(&app).await?;
        platform::restore::settle(&app, &work.head.taken_at).await
    });
    app.store.close();
    settled.map_err(|error| anyhow::anyhow!("{}", error.cause()))
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
