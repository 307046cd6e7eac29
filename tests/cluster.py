#!/usr/bin/env python3
"""What two servers on a cluster of databases promise when its primary goes away under load: they go on by themselves,
nothing that was answered is lost, nothing is done twice. Prints the table of docs/operating.md; exit code 1 when a
promise is broken. Usage: tests/cluster.py COFFERD [CASE...], by default all. Root installs what tools/cluster needs."""

import base64
import concurrent.futures
import http.client
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.realpath(__file__))
# Seconds for which another server may still show what was before.
BEHIND = 1.0
SECRETS, WRITERS, READERS = 6, 8, 2
# As a client would have it.
PATIENCE = 10
AT_MOST = 90
PORT = 24300

cofferd = os.path.realpath(sys.argv[1])
folder = tempfile.mkdtemp(dir="/var/tmp")
# The databases run as another user, in a folder below.
os.chmod(folder, 0o711)
env = {**os.environ, "COFFER_LOG": "warn"}


def cluster(*arguments):
    command = [f"{HERE}/../tools/cluster/cluster", "--folder", f"{folder}/cluster", "--port", str(PORT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def configure(name, store):
    file = f"{folder}/{name}.toml"
    os.makedirs(f"{folder}/{name}", mode=0o700)
    with open(file, "w") as out:
        out.write(f"listen = ['127.0.0.1:0']\ndata = '{folder}/{name}'\nmemory_lock = 'off'\n{store}")
        out.write("[[regions]]\nslug = 'nl-01'\n")
    return file


class Server:
    def __init__(self, name, config, token):
        self.name, self.token = name, token
        with open(f"{folder}/{name}.log", "ab") as log:
            command = [cofferd, "serve", "--config", config]
            self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=env)
        self.address = self.child.stdout.readline().decode().split()[-1].removeprefix("http://")

    def call(self, method, url, body=None, key=None):
        """Status, answer and the request's identity; no status when no answer came in time."""
        headers = {"Authorization": f"Bearer {self.token}", "X-Organisation-Identity": "acme",
                   "Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        try:
            connection.request(method, url, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), answer.headers["X-Request-Id"]
        except (OSError, http.client.HTTPException) as error:
            return None, str(error), None
        finally:
            connection.close()

    def must(self, method, url, body=None):
        """For what is no part of the trial."""
        for _ in range(30):
            status, answer, _ = self.call(method, url, body)
            if status in (200, 201):
                return answer
            time.sleep(1)
        raise AssertionError(f"{method} {url}: {status} {answer}")

    def stop(self):
        self.child.terminate()
        assert self.child.wait() == 0


def encode(text):
    return base64.b64encode(text.encode()).decode()


def gap(times, since, until):
    """The longest time without one, and when it began."""
    times = [since, *sorted(moment for moment in times if since <= moment <= until), until]
    return max((after - before, before) for before, after in zip(times, times[1:]))


def by(*command):
    """Breaks something with a command; nothing is wrong by that alone."""
    def break_it(_load):
        cluster(*command)
        return []
    return break_it


def cancel(load):
    """Somebody ends the primary's waits for a second server while there is none. PostgreSQL takes that for success."""
    cluster("freeze", "standbys")
    since = time.monotonic() + 1
    cluster("query", "DO $$ BEGIN FOR i IN 1..60 LOOP"
            " PERFORM pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep';"
            " PERFORM pg_stat_clear_snapshot(); PERFORM pg_sleep(0.1); END LOOP; END $$")
    alone = sum(since < moment for times in load.put_at.values() for moment in times)
    cluster("thaw")
    return [f"{alone} puts were acknowledged that one server alone had"] if alone else []


# What happens, and the least time to look at it.
CASES = {
    "switchover": (by("switchover"), 10),
    "postmaster": (by("kill-primary", "postmaster"), 10),
    "machine": (by("kill-primary", "machine"), 10),
    "freeze": (by("freeze", "primary"), 25),
    # Its database goes on, so that there are two for a while; nothing happens before the other one is primary.
    "agent": (by("kill-primary", "agent"), 35),
    "cancel": (cancel, 15),
}


class Load:
    """Values put and read through both servers, alternately where one does not answer."""

    def __init__(self, case, servers):
        # A case may be tried several times.
        self.case, self.servers = f"{case}-{time.time_ns()}", servers
        self.paths = [f"/{self.case}/{number}" for number in range(SECRETS)]
        self.lock, self.ended = threading.Lock(), threading.Event()
        # (path, value): version and request of each acknowledged put.
        self.acknowledged, self.tried = {}, set()
        # By path: when each version was acknowledged.
        self.latest = {path: [(0, 1)] for path in self.paths}
        # By server: when it has answered well.
        self.put_at = {server.name: [] for server in servers}
        self.read_at = {server.name: [] for server in servers}
        self.again, self.stale, self.refused = 0, 0, {}
        for path in self.paths:
            servers[0].must("POST", "/v1/secrets/nl-01/secrets",
                            {"path": path, "kmsKeyIdentity": "k", "secretString": encode("first")})
        self.started = time.monotonic()
        work = [(self.write, number) for number in range(WRITERS)] + [(self.read, number) for number in range(READERS)]
        self.threads = [threading.Thread(target=run, args=(number,)) for run, number in work]
        for thread in self.threads:
            thread.start()

    def note(self, status, answer):
        reason = f"{status} {answer.get('message', answer) if isinstance(answer, dict) else answer}"
        with self.lock:
            self.refused[reason] = self.refused.get(reason, 0) + 1

    def write(self, number):
        count, at = 0, number
        while not self.ended.is_set():
            # To each server in turn, or nobody would see that one which did not answer does again.
            count, at = count + 1, at + 1
            path, value = random.choice(self.paths), f"{self.case}-{number}-{count}"
            self.tried.add((path, value))
            given_up = None
            while True:
                server = self.servers[at % len(self.servers)]
                status, answer, request = server.call(
                    "POST", f"/v1/secrets/nl-01/secret{path}/versions", {"secretString": encode(value)}, value)
                if status == 200:
                    with self.lock:
                        self.acknowledged[path, value] = answer["version"], request
                        self.latest[path].append((time.monotonic(), answer["version"]))
                        self.put_at[server.name].append(time.monotonic())
                    break
                self.note(status, answer)
                if self.ended.is_set():
                    given_up = given_up or time.monotonic() + 30
                    if time.monotonic() > given_up:
                        return
                with self.lock:
                    self.again += 1
                # As a load balancer would, to the other server, which knows the key too.
                at += 1
                time.sleep(0.1)
            time.sleep(0.02)

    def read(self, number):
        at = number
        while not self.ended.is_set():
            at += 1
            server, path = self.servers[at % len(self.servers)], random.choice(self.paths)
            bound = time.monotonic() - BEHIND
            known = max(version for when, version in list(self.latest[path]) if when <= bound)
            status, answer, _ = server.call("POST", f"/v1/secrets/nl-01/secret{path}/value", {})
            if status == 200:
                with self.lock:
                    self.read_at[server.name].append(time.monotonic())
                    self.stale += answer["version"] < known
            else:
                self.note(status, answer)
            time.sleep(0.02 if status == 200 else 0.1)

    def is_steady(self, since):
        """Whether both servers have answered puts and reads without a long wait for a while."""
        now = time.monotonic()
        with self.lock:
            lists = [list(times) for by in (self.put_at, self.read_at) for times in by.values()]
        return now - since > 5 and all(gap(times, now - 4, now)[0] < 1.5 for times in lists)

    def end(self):
        self.stopped = time.monotonic()
        self.ended.set()
        for thread in self.threads:
            thread.join()

    # What must hold afterwards.

    def versions(self, server):
        """Every version of every secret, as a server reveals it."""
        def reveal(place):
            path, version = place
            answer = server.must("POST", f"/v1/secrets/nl-01/secret{path}/value", {"version": version})
            return place, base64.b64decode(answer["secretString"]).decode()
        places = []
        for path in self.paths:
            current = server.must("GET", f"/v1/secrets/nl-01/secret{path}")["currentVersion"]
            places += [(path, version) for version in range(1, current + 1)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return dict(pool.map(reveal, places))

    def records(self, server, path):
        """The records of puts of a secret that went well."""
        found, page, pages = [], 1, 1
        while page <= pages:
            answer = server.must("GET", "/v1/audit?action=secrets.putSecretValue&responseStatus=200&limit=500"
                                 f"&page={page}&resourceIdentity={path}")
            found += answer["items"]
            page, pages = page + 1, answer["totalPages"]
        return found

    def check(self):
        """How many were lost, done twice, and left without a record; and anything else that is wrong."""
        lost, doubled, unrecorded, wrong = 0, 0, 0, []
        seen = [self.versions(server) for server in self.servers]
        if any(other != seen[0] for other in seen):
            wrong.append("the servers reveal different values")
        have = seen[0]
        for (path, value), (version, _) in self.acknowledged.items():
            lost += any(other.get((path, version)) != value for other in seen)
        for path in self.paths:
            values = [value for (at, _), value in have.items() if at == path]
            doubled += len(values) - len(set(values))
            unknown = [value for value in values if (path, value) not in self.tried and value != "first"]
            if unknown:
                wrong.append(f"{path} has values that nobody has put: {unknown[:3]}")
            records = self.records(self.servers[-1], path)
            requests = {record["context"]["request_id"] for record in records}
            mine = [request for (at, _), (_, request) in self.acknowledged.items() if at == path]
            unrecorded += sum(request not in requests for request in mine)
            first = [record for record in records if "answered as before" not in record.get("description", "")]
            if len(first) != len(values) - 1:
                wrong.append(f"{path} has {len(values) - 1} versions by put and {len(first)} records of one")
        return lost, doubled, unrecorded, wrong


def row(*cells):
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def trial(case, servers):
    break_it, at_least = CASES[case]
    load, wrong = Load(case, servers), []
    time.sleep(5)
    broken = time.monotonic()
    try:
        wrong += break_it(load)
        while time.monotonic() - broken < at_least or not load.is_steady(broken):
            if time.monotonic() - broken > AT_MOST:
                wrong.append(f"no steady service within {AT_MOST} s")
                break
            time.sleep(0.2)
    finally:
        load.end()
    cluster("mend")
    def longest(by):
        return gap([moment for times in by.values() for moment in times], load.started, load.stopped)[0]
    def longest_of_one(by):
        return max(gap(times, load.started, load.stopped)[0] for times in by.values())
    lost, doubled, unrecorded, more = load.check()
    wrong += more
    if lost or doubled or unrecorded or load.stale:
        wrong.append("a promise is broken")
    gaps = (longest(load.put_at), longest_of_one(load.put_at), longest(load.read_at))
    row(case, *(f"{seconds:.1f} s" for seconds in gaps), len(load.acknowledged), load.again, lost, doubled, load.stale,
        unrecorded)
    for what in wrong:
        print(f"  {case}: {what}", flush=True)
    if wrong or os.environ.get("VERBOSE"):
        for reason, count in sorted(load.refused.items(), key=lambda entry: -entry[1])[:8]:
            print(f"  {count} times: {reason}", flush=True)
    return not wrong


servers, cases = [], sys.argv[2:] or list(CASES)
try:
    store = cluster("up")
    here, there = configure("here", store), configure("there", store)
    said = subprocess.run([cofferd, "bootstrap", "--config", here, "--organisation", "acme", "--owner", "o@a.invalid"],
                          capture_output=True, text=True, check=True, env=env).stdout
    token = said.split("token ")[1].split()[0]
    shutil.copy(f"{folder}/here/root.key", f"{folder}/there/root.key")
    servers = [Server(name, config, token) for name, config in (("here", here), ("there", there))]
    servers[0].must("POST", "/v1/kms/nl-01/keys", {"name": "k"})
    row("case", "longest gap of puts", "at one server", "of reads", "acknowledged", "sent again", "lost", "doubled",
        "stale reads", "without a record")
    row(*["---"] * 10)
    well = [trial(case, servers) for case in cases]
    for server in servers:
        server.stop()
    servers = []
    sys.exit(0 if all(well) else 1)
finally:
    for server in servers:
        server.child.kill()
    subprocess.run([f"{HERE}/../tools/cluster/cluster", "--folder", f"{folder}/cluster", "down"], check=False)
    if os.environ.get("KEEP"):
        print(f"kept: {folder}")
    else:
        shutil.rmtree(folder)
