//! The load generator: keep-alive HTTP/1.1 connections, each with one request under way, on few threads. It costs the
//! same for whatever it asks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::figures::Taken;
use crate::interrupt;

/// Writes one request after another.
pub trait Requests: Send + 'static {
    /// Appends the next request; `false` when there is none.
    fn next(&mut self, out: &mut Vec<u8>) -> bool;
}

/// Where the load goes, and how much of it.
#[derive(Clone, Copy)]
pub struct Load {
    pub address: SocketAddr,
    pub connections: usize,
    pub threads: usize,
    pub warm: Duration,
    /// `None`: until nothing is left to ask.
    pub measured: Option<Duration>,
}

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;
/// Bytes of an answer that are read at once.
const READ_BYTES: usize = 64 * 1024;

impl Load {
    /// Asks what `make` makes for each connection. `at_edges` is called when measuring begins and when it ends.
    pub fn run<R: Requests>(
        &self,
        mut make: impl FnMut(usize) -> R,
        mut at_edges: impl FnMut() -> Result<()>,
    ) -> Result<Taken> {
        let phase = Arc::new(AtomicU8::new(WARMING));
        let mut shares: Vec<Vec<R>> = (0..self.threads).map(|_| Vec::new()).collect();
        for connection in 0..self.connections {
            if let Some(share) = shares.get_mut(connection % self.threads) {
                share.push(make(connection));
            }
        }
        std::thread::scope(|scope| {
            let threads: Vec<_> = shares
                .into_iter()
                .map(|share| {
                    let (phase, address) = (phase.clone(), self.address);
                    scope.spawn(move || {
                        let done = ask_all(address, share, &phase);
                        // Whoever fails ends the others, too.
                        if done.is_err() {
                            phase.store(OVER, Ordering::SeqCst);
                        }
                        done
                    })
                })
                .collect();
            let is_busy = || !threads.iter().all(std::thread::ScopedJoinHandle::is_finished);
            let wait = |time: Option<Duration>| -> Result<()> {
                let since = Instant::now();
                while is_busy() && time.is_none_or(|time| since.elapsed() < time) {
                    interrupt::check()?;
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(())
            };
            let mut seconds = 0.0;
            let mut phases = || -> Result<()> {
                wait(Some(self.warm))?;
                at_edges()?;
                phase.store(MEASURING, Ordering::SeqCst);
                let began = Instant::now();
                wait(self.measured)?;
                seconds = began.elapsed().as_secs_f64();
                phase.store(OVER, Ordering::SeqCst);
                at_edges()
            };
            let ended = phases();
            phase.store(OVER, Ordering::SeqCst);
            let mut micros = Vec::new();
            for thread in threads {
                let taken = thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
                micros.append(&mut taken?);
            }
            ended?;
            Ok(Taken::new(micros, seconds))
        })
    }
}

/// Serves the connections of one thread: how many microseconds each answer took.
fn ask_all<R: Requests>(
    address: SocketAddr,
    share: Vec<R>,
    phase: &Arc<AtomicU8>,
) -> Result<Vec<u32>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for requests in share {
            tasks.spawn(ask(address, requests, phase.clone()));
        }
        let mut micros = Vec::new();
        while let Some(done) = tasks.join_next().await {
            micros.append(&mut done??);
        }
        Ok(micros)
    })
}

async fn ask<R: Requests>(
    address: SocketAddr,
    mut requests: R,
    phase: Arc<AtomicU8>,
) -> Result<Vec<u32>> {
    let stream = TcpStream::connect(address).await.context("no connection")?;
    stream.set_nodelay(true)?;
    let (mut out, mut answer) = (Vec::with_capacity(2048), vec![0; READ_BYTES]);
    let mut micros = Vec::new();
    while phase.load(Ordering::Relaxed) != OVER {
        out.clear();
        if !requests.next(&mut out) {
            break;
        }
        let asked = Instant::now();
        send(&stream, &out).await?;
        let read = read(&stream, &mut answer).await;
        let status = read.with_context(|| String::from_utf8_lossy(&out).into_owned())?;
        if !matches!(status, 200 | 201) {
            let (out, answer) = (String::from_utf8_lossy(&out), String::from_utf8_lossy(&answer));
            bail!("{out}\n{}", answer.trim_end_matches('\0'));
        }
        if phase.load(Ordering::Relaxed) == MEASURING {
            micros.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
    }
    Ok(micros)
}

async fn send(stream: &TcpStream, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                stream.writable().await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Reads one whole answer: its status.
async fn read(stream: &TcpStream, into: &mut [u8]) -> Result<u16> {
    let (mut filled, mut head) = (0, None);
    loop {
        stream.readable().await?;
        match stream.try_read(into.get_mut(filled..).unwrap_or_default()) {
            Ok(0) => bail!("the connection has ended, or an answer is too long"),
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        }
        let have = into.get(..filled).unwrap_or_default();
        if head.is_none() {
            head = Head::parse(have)?;
        }
        if let Some(head) = head.as_ref().filter(|head| head.is_whole(have)) {
            return Ok(head.status);
        }
    }
}

/// What is to be known of an answer's head.
struct Head {
    status: u16,
    length: usize,
    /// `None`: in chunks.
    body: Option<usize>,
}

impl Head {
    fn parse(have: &[u8]) -> Result<Option<Self>> {
        let Some(at) = have.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = std::str::from_utf8(have.get(..at).unwrap_or_default())?;
        let status = text.get(9..12).and_then(|code| code.parse().ok());
        let status = status.context("an answer without a status")?;
        let mut body = Some(0);
        for line in text.split("\r\n") {
            let Some((name, value)) = line.split_once(": ") else { continue };
            if name.eq_ignore_ascii_case("content-length") {
                body = Some(value.parse()?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                ensure!(value == "chunked", "an unknown transfer encoding");
                body = None;
            }
        }
        Ok(Some(Self { status, length: at + 4, body }))
    }

    fn is_whole(&self, have: &[u8]) -> bool {
        match self.body {
            Some(body) => have.len() >= self.length + body,
            None => have.ends_with(b"\r\n0\r\n\r\n"),
        }
    }
}
