//! Pages, long lists, and a naive model that all lists agree with (contract, 14.3, 14.11, 15.2).

use std::collections::BTreeSet;

use crate::lists::{flat, insert, level, list, pages, texts, world_of};
use crate::world::Person;

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("/many/{:02}/{at:05}", at % 7)).collect()
}

fn owned(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

#[tokio::test]
async fn pages_of_any_size_make_the_whole_list() {
    let mut paths = numbered(60);
    paths.extend(owned(&["/many", "/many/0", "/many/00", "/many/00-", "/many/00.", "/z"]));
    let world = world_of(&paths).await;
    paths.sort();
    let whole = level(&world, &world.owner, "/many/").await;
    assert_eq!(whole[0].len(), 7);
    for limit in [1, 2, 3, 7, 10, 59, 66, 67, 1000] {
        let found = pages(&world, &world.owner, "pathPrefix=/", limit).await;
        assert_eq!(found, [vec![], paths.clone()], "{limit}");
        let found = pages(&world, &world.owner, "path=/many/", limit).await;
        assert_eq!(found, whole, "{limit}");
        let found = pages(&world, &world.owner, "pathPrefix=/many", limit).await;
        assert_eq!(found[1], flat(&world, &world.owner, "/many").await, "{limit}");
    }
}

#[tokio::test]
async fn a_link_leads_to_the_next_page_and_the_last_page_has_none() {
    let world = world_of(&owned(&["/a/1", "/a/2", "/a/3"])).await;
    let query = "pathPrefix=%2Fa%2F&limit=2";
    let first = list(&world, &world.owner, query).await;
    let link = first.header("link");
    let cursor = first.header("x-next-cursor");
    assert!(link.starts_with('<') && link.ends_with(">; rel=\"next\""), "{link}");
    assert!(link.contains(cursor) && !cursor.is_empty());
    let target = link.split(['<', '>']).nth(1).unwrap();
    let second = world.get(&world.owner, target).expect(200).await;
    assert_eq!(second.body[0]["path"], "/a/3");
    assert_eq!(second.body.as_array().unwrap().len(), 1);
    for last in [second, list(&world, &world.owner, "pathPrefix=/a/").await] {
        assert_eq!((last.header("link"), last.header("x-next-cursor")), ("", ""));
    }
}

#[tokio::test]
async fn a_cursor_survives_inserts_and_deletes() {
    let paths = owned(&["/a/1", "/a/2", "/a/3", "/a/4", "/a/5", "/a/6"]);
    let world = world_of(&paths).await;
    let first = list(&world, &world.owner, "pathPrefix=/a/&limit=2").await;
    let cursor = first.header("x-next-cursor").to_owned();
    // One that was shown, the one that comes next, and one further on.
    for gone in ["/a/2", "/a/3", "/a/5"] {
        let url = format!("/v1/secrets/nl-01/secret{gone}");
        world.delete(&world.owner, &url).expect(204).await;
    }
    insert(&world, "/a/1", &["/a/0", "/a/1-behind", "/a/35", "/a/7"]);
    let query = format!("pathPrefix=/a/&limit=1000&cursor={cursor}");
    let rest = list(&world, &world.owner, &query).await;
    let rest: Vec<_> = rest.body.as_array().unwrap().iter().map(|s| s["path"].clone()).collect();
    assert_eq!(rest, ["/a/35", "/a/4", "/a/6", "/a/7"]);
}

#[tokio::test]
async fn a_cursor_never_shows_more_than_the_list_it_is_used_on() {
    let world = world_of(&owned(&["/a/1", "/a/2", "/b/1", "/b/2"])).await;
    let reader = world.person_with("secret", &["/b/*"], &["read", "list"]).await;
    let of_owner = list(&world, &world.owner, "pathPrefix=/&limit=1").await;
    let cursor = of_owner.header("x-next-cursor");
    let found = list(&world, &reader, &format!("pathPrefix=/&limit=9&cursor={cursor}")).await;
    assert_eq!(found.body.as_array().unwrap().len(), 2);
    let found = list(&world, &reader, &format!("pathPrefix=/a/&limit=9&cursor={cursor}")).await;
    assert_eq!(found.body.as_array().unwrap().len(), 0);
    world
        .get(&world.nobody, &format!("/v1/secrets/nl-01/secrets?cursor={cursor}"))
        .expect(403)
        .await;
}

#[tokio::test]
async fn a_long_list_comes_whole_in_one_answer() {
    let mut paths = numbered(1300);
    let world = world_of(&paths).await;
    paths.sort();
    assert_eq!(flat(&world, &world.owner, "/").await, paths);
    let reader = world.person_with("secret", &["/many/*7"], &["read", "list"]).await;
    let ending: Vec<_> = paths.iter().filter(|path| path.ends_with('7')).cloned().collect();
    assert_eq!(flat(&world, &reader, "/").await, ending);
    assert_eq!(pages(&world, &reader, "pathPrefix=/", 50).await[1], ending);
    let found = list(&world, &world.owner, "path=/many/").await;
    assert_eq!(texts(&found.body["prefixes"]).len(), 7);
}

#[tokio::test]
async fn a_wide_level_comes_whole_in_one_answer() {
    let both = |at: usize| [format!("/wide/{at:04}"), format!("/wide/{at:04}/below/deep")];
    let paths: Vec<_> = (0..700).flat_map(both).collect();
    let world = world_of(&paths).await;
    let prefixes: Vec<_> = (0..700).map(|at| format!("/wide/{at:04}/")).collect();
    let secrets: Vec<_> = (0..700).map(|at| format!("/wide/{at:04}")).collect();
    let whole = [prefixes, secrets];
    assert_eq!(level(&world, &world.owner, "/wide/").await, whole);
    assert_eq!(pages(&world, &world.owner, "path=/wide/", 199).await, whole);
}

#[tokio::test]
async fn the_one_readable_secret_behind_thousands_is_found() {
    let mut paths: Vec<_> = (0..10_500).map(|at| format!("/many/{at:05}")).collect();
    paths.push("/many/z/mine".to_owned());
    let world = world_of(&paths).await;
    let reader = world.person_with("secret", &["*mine"], &["read", "list"]).await;
    let mine = owned(&["/many/z/mine"]);
    assert_eq!(flat(&world, &reader, "/").await, mine);
    assert_eq!(pages(&world, &reader, "pathPrefix=/", 10).await[1], mine);
    assert_eq!(level(&world, &reader, "/many/").await, [owned(&["/many/z/"]), vec![]]);
    assert_eq!(pages(&world, &reader, "path=/many/", 10).await[0], owned(&["/many/z/"]));
}

/// A small generator with a fixed start, so that every run draws the same.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    fn path(&mut self) -> String {
        // What sorts right below and above `/` is what an off-by-one would trip over.
        const SEGMENTS: [&str; 6] = ["a", "b", "a-", "a.", "a+", "a0"];
        (0..=self.below(4)).map(|_| format!("/{}", SEGMENTS[self.below(6)])).collect()
    }

    /// A pattern made out of one of the paths: itself, cut short, or with a `*` somewhere.
    fn pattern(&mut self, paths: &[String], kinds: usize) -> String {
        let path = &paths[self.below(paths.len())];
        let cut = self.below(path.len() + 1);
        match self.below(kinds) {
            0 => path.clone(),
            1 => format!("{path}*"),
            2 => format!("{}*", &path[..cut]),
            3 => format!("*{}", &path[cut..]),
            4 => format!("{}*{}", &path[..cut / 2], &path[cut..]),
            _ => format!("/*{}*", &path[cut..]),
        }
    }
}

/// The executable specification of patterns: try every split.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|at| matches(rest, &text[at..])),
        [byte, rest @ ..] => text.first() == Some(byte) && matches(rest, &text[1..]),
    }
}

/// The executable specification of lists: look at every path.
struct Model<'m> {
    readable: Vec<&'m String>,
}

impl Model<'_> {
    fn level(&self, directory: &str) -> [Vec<String>; 2] {
        let (mut prefixes, mut secrets) = (BTreeSet::new(), BTreeSet::new());
        for path in self.readable.iter().filter(|path| path.starts_with(directory)) {
            match path[directory.len()..].split_once('/') {
                Some((child, _)) => prefixes.insert(format!("{directory}{child}/")),
                None => secrets.insert((*path).clone()),
            };
        }
        [prefixes, secrets].map(|set| set.into_iter().collect())
    }

    fn flat(&self, prefix: &str) -> Vec<String> {
        let directory = format!("{}/", prefix.trim_end_matches('/'));
        let inside = |path: &&&String| path.starts_with(&directory) || ***path == prefix;
        let found: BTreeSet<_> =
            self.readable.iter().filter(inside).map(|p| (*p).clone()).collect();
        found.into_iter().collect()
    }
}

#[tokio::test]
async fn every_list_agrees_with_a_naive_model() {
    let mut draw = Draw(0x5eed);
    let paths: BTreeSet<String> = (0..90).map(|_| draw.path()).collect();
    let paths: Vec<_> = paths.into_iter().collect();
    let world = world_of(&paths).await;
    let mut directories: BTreeSet<String> = BTreeSet::from(["/".to_owned(), "/c/".to_owned()]);
    for path in &paths {
        directories.extend(path.match_indices('/').map(|(at, _)| path[..=at].to_owned()));
    }
    for round in 0..12 {
        // Patterns that begin with a `*` swallow all others, so every other round has none of them.
        let kinds = if round % 2 == 0 { 2 } else { 6 };
        let patterns: Vec<_> = (0..=draw.below(9)).map(|_| draw.pattern(&paths, kinds)).collect();
        let reader: Person = world.person_with("secret", &["/none"], &["list"]).await;
        for pattern in &patterns {
            world.grant(&reader, "secret", &[pattern], &["read"]).await;
        }
        let may = |path: &&String| {
            patterns.iter().any(|pattern| matches(pattern.as_bytes(), path.as_bytes()))
        };
        let model = Model { readable: paths.iter().filter(may).collect() };
        let limit = draw.below(4) + 1;
        for directory in &directories {
            let about = format!("{directory} through {patterns:?}");
            let query = format!("path={}", directory.replace('+', "%2B"));
            let found = level(&world, &reader, &directory.replace('+', "%2B")).await;
            assert_eq!(found, model.level(directory), "{about}");
            let found = pages(&world, &reader, &query, limit).await;
            assert_eq!(found, model.level(directory), "{about}, {limit} a page");
            let bare = match directory.trim_end_matches('/') {
                "" => "/",
                bare => bare,
            };
            for prefix in [directory.as_str(), bare] {
                let found = flat(&world, &reader, &prefix.replace('+', "%2B")).await;
                assert_eq!(found, model.flat(prefix), "flat {prefix} through {patterns:?}");
            }
        }
    }
}
