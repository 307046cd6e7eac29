"""What the scripts that work on real processes share: a throw-away PostgreSQL cluster, servers, calls over HTTP."""

import base64
import glob
import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

REGION = "nl-01"
SECRETS = f"/v1/secrets/{REGION}/secrets"
KEYS = f"/v1/kms/{REGION}/keys"
# How long an answer, a start or a recovery may take before something is wrong.
PATIENCE = 60
# Told to end, a script ends what it has started.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def secret(path, operation=""):
    """The URL of a secret, or of an operation on it: `/value`, `/versions`."""
    return f"/v1/secrets/{REGION}/secret{path}{operation}"


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def decoded(text):
    return base64.b64decode(text).decode()


def a_free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(what, is_so, pause=0.01):
    """Waits, asking again and again."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {PATIENCE} s")
        time.sleep(pause)


class Postgres:
    """A cluster in a folder, with further settings such as `fsync=off`."""

    def __init__(self, folder, *settings):
        self.folder = folder
        # The server refuses to run as root.
        self.user = {}
        os.mkdir(folder, 0o700)
        if os.geteuid() == 0:
            names = [entry.pw_name for entry in pwd.getpwall()]
            entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            self.user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            shutil.chown(folder, entry.pw_uid, entry.pw_gid)
        self.port = a_free_port()
        self.url = f"postgres://coffer@127.0.0.1:{self.port}/postgres?sslmode=disable"
        initdb = [self.program("initdb"), "-D", f"{folder}/data", "-U", "coffer", "-A", "trust", "-E", "UTF8",
                  "--locale=C", "--no-sync", "--wal-segsize=1"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=folder, **self.user)
        self.settings = [f"port={self.port}", f"unix_socket_directories={folder}", "listen_addresses=127.0.0.1",
                         "max_connections=300", *settings]
        self.start()

    @staticmethod
    def program(name):
        installed = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), key=lambda file: int(file.split("/")[4]))
        found = shutil.which(name) or (installed[-1] if installed else None)
        assert found, f"PostgreSQL's {name} is not installed"
        return found

    def start(self):
        """Starts it, which it may refuse while a process of before has not ended, and waits until it takes calls."""
        command = [self.program("postgres"), "-D", f"{self.folder}/data"]
        for setting in self.settings:
            command += ["-c", setting]
        ready = [self.program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "coffer"]

        def is_ready():
            if self.child.poll() is not None:
                self.child = self.spawn(command)
            return subprocess.run(ready).returncode == 0

        self.child = self.spawn(command)
        until("PostgreSQL's start", is_ready, 0.05)

    def spawn(self, command):
        with open(f"{self.folder}/log", "ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **self.user)

    def kill(self):
        """SIGKILL for every process of the cluster."""
        pid = self.child.pid
        # Stopped, it makes no more children.
        os.kill(pid, signal.SIGSTOP)
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            pids = [int(child) for child in children.read().split()]
        for child in [pid, *pids]:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.child.wait()
        until("PostgreSQL's end", lambda: not any(map(is_running, pids)))

    def stop(self):
        self.child.send_signal(signal.SIGQUIT)
        self.child.wait()


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Server:
    """A `cofferd serve` with a data folder of its own; `store` is the URL of a database, absent for SQLite."""

    def __init__(self, cofferd, folder, name, store=None, public_url="http://coffer.invalid"):
        self.cofferd, self.name, self.data = os.path.realpath(cofferd), name, f"{folder}/{name}"
        self.config, self.log = f"{folder}/{name}.toml", f"{folder}/{name}.log"
        with open(self.config, "w") as out:
            out.write(f"listen = ['127.0.0.1:0']\ndata = '{self.data}'\nmemory_lock = 'off'\n")
            # Tokens of one server are good on the others.
            out.write(f"public_url = '{public_url}'\n")
            out.write(f"[[regions]]\nslug = '{REGION}'\n[limits]\nauth_failures_per_minute = 0\n")
            if store:
                out.write(f"[store]\nurl = '{store}'\n")
        self.child = self.port = self.token = None

    def bootstrap(self):
        """Makes the organisation `acme` and its owner's token."""
        said = subprocess.run([self.cofferd, "bootstrap", "--config", self.config, "--organisation", "acme", "--owner",
                               "o@acme.invalid"], check=True, capture_output=True, text=True).stdout
        self.token = said.split("token ")[1].split()[0]

    def join(self, other):
        """Gets ready to serve the store of another one, with its root key."""
        os.mkdir(self.data, 0o700)
        shutil.copy(f"{other.data}/root.key", self.data)
        self.token = other.token

    def start(self):
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen([self.cofferd, "serve", "--config", self.config], stdout=subprocess.PIPE,
                                          stderr=log)
        line = self.child.stdout.readline().decode()
        assert line, f"{self.name} does not start: {self.said()}"
        self.port = int(re.search(r":(\d+)\s*$", line)[1])

    def signal(self, number):
        os.kill(self.child.pid, number)

    def kill(self):
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()

    def stop(self):
        self.child.terminate()
        assert self.child.wait() == 0, f"{self.name} did not end well: {self.said()}"

    def check_log(self):
        """The audit log is whole, whoever has written to it and however they ended."""
        done = subprocess.run([self.cofferd, "audit", "verify", "--config", self.config], capture_output=True, text=True)
        assert done.returncode == 0, f"the log of {self.name} is not whole: {done.stderr}"

    def said(self):
        """The end of its log."""
        with open(self.log) as log:
            return "".join(log.readlines()[-20:])


class Lost(Exception):
    """Nobody knows whether the request was carried out."""


class Answer:
    def __init__(self, response):
        text = response.read()
        self.status, self.headers = response.status, response.headers
        self.body = json.loads(text) if text else None

    def __repr__(self):
        return f"{self.status} {self.body}"


class Client:
    """Calls over one connection to a server, which is kept open as long as that can be."""

    def __init__(self, server, patience=30):
        self.server, self.patience, self.connection, self.used = server, patience, None, 0

    def call(self, method, url, body=None, token=None, **headers):
        """Answers what came; lost is what did not come, and 503. A body that is text is a form with its credentials."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, str):
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        else:
            headers["Authorization"] = f"Bearer {token or self.server.token}"
            headers["X-Organisation-Identity"] = "acme"
            if body is not None:
                headers["Content-Type"], body = "application/json", json.dumps(body)
        try:
            # The server closes what has been idle for ten seconds.
            is_old = self.used + 5 < time.monotonic()
            if is_old or self.connection is None or self.connection.port != self.server.port:
                self.close()
                self.connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=self.patience)
            self.connection.request(method, url, body, headers)
            answer, self.used = Answer(self.connection.getresponse()), time.monotonic()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Lost(repr(error)) from None
        if answer.status == 503:
            raise Lost(str(answer))
        return answer

    def done(self, method, url, body=None, **rest):
        """The body of a call that has to succeed."""
        answer = self.call(method, url, body, **rest)
        assert answer.status < 300, f"{method} {url}: {answer}"
        return answer.body

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None
