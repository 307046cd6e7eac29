//! Processes that are measured, and that end with whoever started them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// How Linux tells processor time.
const TICKS_PER_SECOND: u64 = 100;

/// A child process.
pub struct Process {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Process {
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("no output")?;
        Ok(Self { child, out: BufReader::new(out) })
    }

    /// The next line it prints.
    pub fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let count = self.out.read_line(&mut line)?;
        ensure!(count > 0, "the process has ended: {:?}", self.child.wait()?);
        Ok(line.trim_end().to_owned())
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = Pid::from_raw(i32::try_from(self.child.id())?).context("no process")?;
        Ok(kill_process(id, signal)?)
    }

    /// Asks it to end in order.
    pub fn stop(mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let ended = self.child.wait()?;
        ensure!(ended.success(), "the server did not end in order: {ended}");
        Ok(())
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process has used so far.
pub struct Usage {
    pub cpu: Duration,
    /// MiB.
    pub memory: f64,
    pub peak: f64,
}

impl Usage {
    /// Of the process with a number.
    pub fn of(id: u32) -> Result<Self> {
        let read = |name| std::fs::read_to_string(format!("/proc/{id}/{name}"));
        let (stat, status) = (read("stat")?, read("status")?);
        // Behind the name, which stands in brackets: the 12th and 13th fields are user and system time.
        let (_, fields) = stat.rsplit_once(')').context("no stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks: u64 = ticks.sum::<Result<_, _>>()?;
        let mebibytes = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            Ok(number.context("no such figure")?.parse::<f64>()? / 1024.0)
        };
        Ok(Self {
            cpu: Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND),
            memory: mebibytes("VmRSS:")?,
            peak: mebibytes("VmHWM:")?,
        })
    }
}

/// A server, or a floor, that answers at an address.
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
    /// From its start until it was ready.
    pub start: Duration,
}

impl Server {
    /// The real server.
    pub fn cofferd(config: &Path) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cofferd"));
        command.arg("serve").arg("--config").arg(config).stderr(Stdio::null());
        let began = Instant::now();
        let mut server = Self::listening(&mut command)?;
        while !is_ready(server.address)? {
            ensure!(began.elapsed() < Duration::from_secs(60), "the server does not get ready");
            std::thread::sleep(Duration::from_millis(1));
        }
        server.start = began.elapsed();
        Ok(server)
    }

    /// Whatever prints a line that ends with its address.
    pub fn listening(command: &mut Command) -> Result<Self> {
        let began = Instant::now();
        let mut process = Process::start(command)?;
        let line = process.line()?;
        let Some((_, address)) = line.rsplit_once("http://") else { bail!("it says: {line}") };
        let address = address.parse()?;
        Ok(Self { process, address, start: began.elapsed() })
    }
}

/// Asks without a client's own preparations, which would count as the server's.
fn is_ready(address: SocketAddr) -> Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: coffer\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}
