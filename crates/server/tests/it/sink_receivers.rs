//! Whoever takes records on loopback: a webhook, a syslog receiver; each as well or as badly as a test wants.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// How a webhook answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Manner {
    Well,
    Failing,
    Redirecting,
    /// Not until its manner is another one.
    Silent,
    /// The first call never, all others well.
    SilentOnce,
}

/// A batch as it came.
#[derive(Debug, Clone)]
pub struct Batch {
    pub headers: HeaderMap,
    pub body: String,
    pub is_taken: bool,
}

impl Batch {
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

pub struct Webhook {
    pub url: String,
    manner: watch::Sender<Manner>,
    batches: Arc<Mutex<Vec<Batch>>>,
    calls: Arc<AtomicUsize>,
}

impl Webhook {
    pub async fn new(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?source=coffer", listener.local_addr().unwrap());
        let manner = watch::Sender::new(manner);
        let (batches, calls) = (Arc::default(), Arc::<AtomicUsize>::default());
        let hook = Self { url, manner: manner.clone(), batches, calls: calls.clone() };
        let shared = hook.batches.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (manner, batches, calls) = (manner.clone(), shared.clone(), calls.clone());
                let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let (manner, batches) = (manner.subscribe(), batches.clone());
                    let call = calls.fetch_add(1, Ordering::SeqCst);
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes().to_vec();
                        let body = String::from_utf8(body).unwrap();
                        let batch = Batch { headers: head.headers, body, is_taken: false };
                        let answer = answer(manner, batches, call, batch).await;
                        Ok::<_, hyper::Error>(answer)
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(connection), service);
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        hook
    }

    pub fn answers(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    /// How often it was called.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// All that came, taken or not.
    pub fn batches(&self) -> Vec<Batch> {
        self.batches.lock().unwrap().clone()
    }

    /// The lines that it has taken.
    pub fn lines(&self) -> Vec<String> {
        let batches = self.batches().into_iter().filter(|batch| batch.is_taken);
        batches
            .flat_map(|batch| batch.body.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }
}

async fn answer(
    mut manner: watch::Receiver<Manner>,
    batches: Arc<Mutex<Vec<Batch>>>,
    call: usize,
    batch: Batch,
) -> Response<Full<Bytes>> {
    let silent = |manner: &Manner| match manner {
        Manner::Silent => true,
        Manner::SilentOnce => call == 0,
        _ => false,
    };
    let manner = *manner.wait_for(|manner| !silent(manner)).await.unwrap();
    let status = match manner {
        Manner::Failing => 500,
        Manner::Redirecting => 307,
        _ => 204,
    };
    batches.lock().unwrap().push(Batch { is_taken: status == 204, ..batch });
    let answer = Response::builder().status(status).header("location", "/elsewhere");
    answer.body(Full::default()).unwrap()
}

/// A syslog receiver, which reads each connection to its end.
pub struct Syslog {
    pub address: String,
    /// Connections that it breaks off after some bytes, before it becomes reliable.
    broken: Arc<AtomicUsize>,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Syslog {
    pub async fn new(breaks_off: usize, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("localhost:{}", listener.local_addr().unwrap().port());
        let (broken, received) = (Arc::new(AtomicUsize::new(breaks_off)), Arc::default());
        let syslog = Self { address, broken, received };
        let (broken, received) = (syslog.broken.clone(), syslog.received.clone());
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let breaks = |left: usize| left.checked_sub(1);
                if broken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, breaks).is_ok() {
                    // What is not read makes the end a reset.
                    let _ = connection.read(&mut [0; 10]).await;
                    continue;
                }
                let mut bytes = Vec::new();
                match &tls {
                    None => drop(connection.read_to_end(&mut bytes).await),
                    Some(tls) => {
                        let Ok(mut connection) = tls.accept(connection).await else { continue };
                        let _ = connection.read_to_end(&mut bytes).await;
                    }
                }
                received.lock().unwrap().push(bytes);
            }
        });
        syslog
    }

    /// Whether it has broken off all that it was to.
    pub fn is_reliable(&self) -> bool {
        self.broken.load(Ordering::SeqCst) == 0
    }

    /// The messages of all connections, each checked against RFC 5424.
    pub fn messages(&self) -> Vec<Message> {
        let received = self.received.lock().unwrap();
        received.iter().flat_map(|bytes| messages(bytes)).collect()
    }
}

/// The parts of a message that say something.
#[derive(Debug)]
pub struct Message {
    pub at: String,
    pub kind: String,
    pub text: String,
}

fn messages(mut bytes: &[u8]) -> Vec<Message> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let at = bytes.iter().position(|byte| *byte == b' ').unwrap();
        let length: usize = std::str::from_utf8(&bytes[..at]).unwrap().parse().unwrap();
        let message = std::str::from_utf8(&bytes[at + 1..at + 1 + length]).unwrap();
        bytes = &bytes[at + 1 + length..];
        let mut parts = message.splitn(8, ' ');
        let mut next = || parts.next().unwrap().to_owned();
        assert_eq!(next(), "<110>1");
        let at = next();
        let (host, program, process) = (next(), next(), next());
        assert!(!host.is_empty() && program == "cofferd", "{message}");
        assert_eq!(process, std::process::id().to_string());
        let (kind, data, text) = (next(), next(), next());
        assert_eq!(data, "-");
        all.push(Message { at, kind, text });
    }
    all
}
