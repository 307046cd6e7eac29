#!/usr/bin/env python3
"""How long backup, check and restore take, in how much memory, and what writers notice: the table of
docs/performance.md. Usage: tests/backup-figures.py COFFERD [SECRETS [URL]], by default a million. URL: an empty PostgreSQL
database, to which the store is moved, and back."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

cofferd = os.path.realpath(sys.argv[1])
secrets = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
database = sys.argv[3] if len(sys.argv) > 3 else None
folder = tempfile.mkdtemp()
env = {**os.environ, "COFFER_LOG": "warn"}


def configure(name, url=None):
    """The settings of a machine, with its data in a folder of that name, and its store there or in a database."""
    file = f"{folder}/{name}.toml"
    with open(file, "w") as out:
        out.write(f"listen = ['127.0.0.1:0']\ndata = '{folder}/{name}'\nmemory_lock = 'off'\n")
        if url:
            out.write(f"[store]\nurl = '{url}'\n")
        out.write("[[regions]]\nslug = 'nl-01'\n")
    return file


def machine(name, url=None):
    """Another one with the root key of the first and nothing else: its settings."""
    os.mkdir(f"{folder}/{name}", 0o700)
    shutil.copy(f"{folder}/here/root.key", f"{folder}/{name}/root.key")
    return configure(name, url)


def restored(config, file):
    """Restores, and looks whether the first secret opens."""
    _, seconds, memory = run("restore", "--config", config, file)
    server = Server(config, token)
    assert server.call("/v1/secrets/nl-01/secret/first/value", {"version": 1})["secretString"] == "eA=="
    server.stop()
    return f"{seconds:.1f} s, {memory:.0f} MiB of memory"


def move():
    """To the database, a backup beside a server on it, and back."""
    moved = machine("moved", database)
    print(f"restore into PostgreSQL: {restored(moved, file)}")
    server = Server(moved, token)
    (_, seconds, memory), busy = writers_notice(server, lambda: run("backup", "--config", moved, f"{folder}/second"))
    print(f"backup from PostgreSQL: {seconds:.1f} s, {memory:.0f} MiB of memory; beside it: {busy}")
    server.stop()
    print(f"restore into SQLite: {restored(machine('back'), f'{folder}/second')}")


def run(*arguments):
    """Runs a command: its output, seconds, and the most memory it had, in MiB."""
    started = time.monotonic()
    child = subprocess.Popen([cofferd, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    said = child.stdout.read().decode() + child.stderr.read().decode()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, said
    return said, time.monotonic() - started, used.ru_maxrss / 1024


class Server:
    def __init__(self, config, token):
        self.child = subprocess.Popen([cofferd, "serve", "--config", config], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                      env=env)
        self.url = self.child.stdout.readline().decode().split()[-1]
        self.token = token

    def call(self, url, body):
        headers = {"Authorization": f"Bearer {self.token}", "X-Organisation-Identity": "acme",
                   "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + url, json.dumps(body).encode(), headers, method="POST")
        return json.load(urllib.request.urlopen(request))

    def stop(self):
        self.child.terminate()
        assert self.child.wait() == 0


def multiply(file):
    """A million secrets out of one, each with a version and two records. Only the first one opens."""
    store = sqlite3.connect(file)
    numbers = f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {secrets}) "

    def copies(table, condition, **changed):
        columns = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
        values = ", ".join(changed.get(column, column) for column in columns)
        store.execute(f"{numbers} INSERT INTO {table} SELECT {values} FROM n, {table} WHERE {condition}")

    copies("secrets", "path = '/first'", secret_id="'sec-' || i", path="'/app/' || (i % 1000) || '/' || i")
    copies("secret_versions", "version = 1", secret_id="'sec-' || i")
    for action in ("secrets.create", "kms.encrypt"):
        copies("audit_events", f"action = '{action}'", at="at + i", event_id=f"'{action}' || i")
    store.commit()
    store.close()


def put_while(server, until):
    """Puts values one after another until told: how long each took, in milliseconds."""
    took = []
    while not until.is_set():
        started = time.monotonic()
        server.call("/v1/secrets/nl-01/secret/first/versions", {"secretString": "eA=="})
        took.append((time.monotonic() - started) * 1000)
    return took


def writers_notice(server, work):
    """What `work` answers, and the median and the slowest put meanwhile."""
    until, took = threading.Event(), []
    writer = threading.Thread(target=lambda: took.extend(put_while(server, until)))
    writer.start()
    answer = work()
    until.set()
    writer.join()
    took.sort()
    return answer, f"{len(took)} puts, median {took[len(took) // 2]:.1f} ms, slowest {took[-1]:.0f} ms"


try:
    here = configure("here")
    said, _, _ = run("bootstrap", "--config", here, "--organisation", "acme", "--owner", "o@acme.invalid")
    token = said.split("token ")[1].split()[0]
    server = Server(here, token)
    server.call("/v1/kms/nl-01/keys", {"name": "k"})
    server.call("/v1/secrets/nl-01/secrets", {"path": "/first", "kmsKeyIdentity": "k", "secretString": "eA=="})
    server.stop()
    multiply(f"{folder}/here/coffer.db")
    print(f"database: {os.path.getsize(f'{folder}/here/coffer.db') / 2**20:.0f} MiB")
    server = Server(here, token)
    _, idle = writers_notice(server, lambda: time.sleep(5))
    print(f"without a backup: {idle}")
    file = f"{folder}/backup"
    (said, seconds, memory), busy = writers_notice(server, lambda: run("backup", "--config", here, file))
    print(f"backup: {seconds:.1f} s, {memory:.0f} MiB of memory, {os.path.getsize(file) / 2**20:.0f} MiB")
    print(f"beside it: {busy}; log grew to {os.path.getsize(f'{folder}/here/coffer.db-wal') / 2**20:.0f} MiB")
    print(said.strip())
    server.stop()
    there = machine("there")
    _, seconds, memory = run("backup", "--config", there, "--verify", file)
    print(f"verify: {seconds:.1f} s, {memory:.0f} MiB of memory")
    print(f"restore: {restored(there, file)}")
    if database:
        move()
finally:
    shutil.rmtree(folder)
