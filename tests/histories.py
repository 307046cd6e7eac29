#!/usr/bin/env python3
"""Two and three servers on one database: everything that happens to secrets, keys and tokens is written down with its
times, and checked. Usage: tests/histories.py COFFERD [SECONDS], by default 20 with each number of servers; or
tests/histories.py --self-test, which is also the first thing that a run does.

Writes must stand in one order. What is read may be behind by BOUND of `history_check.py` on other servers than the one
that wrote, on that one not at all; that holds for values, for keys that are disabled and for tokens that are revoked.
Servers are also stopped for some seconds meanwhile, and must not answer stale when they go on."""

import collections
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from urllib.parse import urlencode

from coffer_test import KEYS, SECRETS, Client, Lost, Postgres, Server, decoded, encoded, secret
from history_check import BOUND, Op, behind, falsified, flag_model, refutation, secret_model, self_test

WORKERS = 8
TOKENS = "/v1/me/personal-access-tokens"
# What may be answered to each operation.
STATUSES = {"create": (201, 409), "put": (200, 400, 404), "destroy": (204, 404), "delete": (204, 404),
            "reveal": (200, 400, 401, 404)}


def fresh_name():
    return f"{random.getrandbits(64):x}"


class Token:
    def __init__(self, name):
        self.name, self.text, self.url, self.revoked_at = name, None, None, None


class Run:
    """Some servers, the secrets that are worked on, and what has happened."""

    def __init__(self, servers, folder, account):
        self.servers, self.account = servers, account
        self.started, self.over = time.monotonic(), threading.Event()
        self.steady = [f"{folder}/steady/{n}" for n in range(2)]
        self.fleeting = [f"{folder}/fleeting/{n}" for n in range(2)]
        # Of each secret whose key is disabled now and then: the key; and that of all others.
        self.keyed = {f"{folder}/keyed/{n}": f"{folder[1:]}-{n}" for n in range(2)}
        self.key = f"{folder[1:]}-key"
        self.tokens, self.latest = [], collections.Counter()
        # By kind and name.
        self.histories = collections.defaultdict(list)
        self.stopped, self.favourite, self.in_flight = set(), None, collections.Counter()
        self.lock, self.written, self.meanwhile, self.stops, self.wrong = threading.Lock(), 0, 0, 0, []

    def now(self):
        return time.monotonic() - self.started

    def some_server(self):
        favourite = self.favourite
        if favourite is not None and random.random() < 0.7:
            return favourite
        return random.choice([node for node in range(len(self.servers)) if node not in self.stopped])

    def others(self, node):
        return [other for other in range(len(self.servers)) if other != node and other not in self.stopped]

    def work(self):
        try:
            worker = Worker(self)
            while not self.over.is_set():
                worker.step()
        except Exception as error:
            self.wrong.append(repr(error))
            self.over.set()

    def stop_one(self):
        """Stops a server for a while, most times with nothing under way, so that it holds no lock of the database."""
        node = random.randrange(len(self.servers))
        self.stopped = {node}
        end = time.monotonic() + (0 if random.random() < 0.3 else 3)
        while self.in_flight[node] and time.monotonic() < end:
            time.sleep(0.005)
        before = self.written
        self.servers[node].signal(signal.SIGSTOP)
        time.sleep(random.uniform(2, 3))
        self.meanwhile += self.written - before
        self.stops += 1
        # What is sent now waits for it.
        self.stopped, self.favourite = set(), node
        time.sleep(0.1)
        self.servers[node].signal(signal.SIGCONT)
        time.sleep(0.5)
        self.favourite = None

    def run(self, seconds):
        client = Client(self.servers[0])
        for name in [self.key, *self.keyed.values()]:
            client.done("POST", KEYS, {"name": name})
        for path in [*self.steady, *self.keyed]:
            Worker(self).create(0, path)
        workers = [threading.Thread(target=self.work, daemon=True) for _ in range(WORKERS)]
        for thread in workers:
            thread.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.over.wait(random.uniform(1, 2)):
            self.stop_one()
        self.over.set()
        for thread in workers:
            thread.join()
        assert not self.wrong, self.wrong[0]

    def check(self):
        """Every history, and each that can be told from a false one with one answer changed: how many there are of a
        kind, how many of a kind cannot be, and why."""
        counts, refuted, reasons = collections.Counter(), collections.Counter(), []
        for (kind, name), history in self.histories.items():
            model, state = (secret_model, None) if kind == "secret" else (flag_model, kind == "key")
            why, false = refutation(model, state, history), falsified(kind, history)
            counts[kind] += 1
            if why:
                refuted[kind] += 1
                reasons.append(f"{kind} {name}: {why}")
            elif false:
                counts["false"] += 1
                assert refutation(model, state, false), f"{kind} {name}: an answer that cannot be is not found"
        return counts, refuted, reasons


class Worker:
    """Does one thing after another, with a connection to each server, and writes down what it is answered."""

    def __init__(self, run):
        self.run, self.clients = run, [Client(server) for server in run.servers]

    def do(self, node, name, path, argument, method, url, body=None, token=None):
        """Asks, and writes it down for the secret, its key and the token that was shown: the status and what came."""
        run = self.run
        with run.lock:
            run.in_flight[node] += 1
        begun, answer = run.now(), None
        try:
            answer = self.clients[node].call(method, url, body, token and token.text)
        except Lost:
            pass
        finally:
            with run.lock:
                run.in_flight[node] -= 1
        ended = run.now() if answer else math.inf
        status = answer.status if answer else None
        if answer and (status not in STATUSES[name] or status == 401 and not token):
            raise AssertionError(f"{name} of {path} on server {node}: {answer}")
        if token:
            self.note("token", token.name, Op(node, "use", None, begun, ended, answer and (status != 401,)))
        if path in run.keyed:
            self.note("key", run.keyed[path], Op(node, "use", None, begun, ended, answer and (status < 300,)))
        refused = status == 401 or path in run.keyed and status == 400
        if not refused:
            # What is compared with the model's answer.
            said = answer and [status]
            if status == 200:
                said.append(answer.body["version"])
            if status == 200 and name == "reveal":
                said.append(decoded(answer.body["secretString"]))
            self.note("secret", path, Op(node, name, argument, begun, ended, said and tuple(said)))
        if status == 201 or status == 200 and name == "put":
            run.latest[path] = answer.body.get("version", 1)
        return status, answer

    def note(self, kind, name, op):
        with self.run.lock:
            self.run.histories[kind, name].append(op)
            self.run.written += 1

    def create(self, node, path):
        value = fresh_name()
        key = self.run.keyed.get(path, self.run.key)
        body = {"path": path, "kmsKeyIdentity": key, "secretString": encoded(value)}
        return self.do(node, "create", path, value, "POST", SECRETS, body)

    def put(self, node, path):
        value = fresh_name()
        return self.do(node, "put", path, value, "POST", secret(path, "/versions"), {"secretString": encoded(value)})

    def reveal(self, node, path, version=None, token=None):
        body = {"version": version} if version else None
        return self.do(node, "reveal", path, version, "POST", secret(path, "/value"), body, token)

    def recent(self, path):
        """The number of one of its last versions."""
        return max(1, self.run.latest[path] - random.randrange(5))

    def destroy(self, node, path):
        version = self.recent(path)
        status, _ = self.do(node, "destroy", path, version, "DELETE", secret(path, f"/versions?version={version}"))
        if status == 204:
            for node in [node, *self.run.others(node)]:
                self.reveal(node, path, version)

    def flag(self, node, kind, name, what, ask):
        """Switches a key or a token: whether that was acknowledged."""
        begun = self.run.now()
        try:
            ask()
        except Lost:
            self.note(kind, name, Op(node, what, None, begun, math.inf, None))
            return False
        self.note(kind, name, Op(node, what, None, begun, self.run.now(), (200,)))
        return True

    def toggle(self, node, path):
        key = self.run.keyed[path]
        what, verb, wanted = random.choice([("off", "disable", 400), ("on", "enable", 200), ("on", "enable", 200)])
        if self.flag(node, "key", key, what, lambda: self.clients[node].done("POST", f"{KEYS}/{key}/{verb}")):
            self.reveal(node, path)
            self.see(node, lambda other: self.reveal(other, path)[0] == wanted)

    def make_token(self, node):
        client, name = self.clients[node], fresh_name()
        token = Token(name)

        def personal():
            made = client.done("POST", TOKENS, {"name": name})
            token.text, token.url = made["token"], f"{TOKENS}/{made['identity']}"

        def machine():
            made = client.done("POST", self.run.account, {"name": name})
            form = {"grant_type": "client_credentials", "client_id": made["accessKey"],
                    "client_secret": made["accessSecret"]}
            token.url = f"{self.run.account}/{made['identity']}"
            token.text = client.done("POST", "/oidc/token", urlencode(form))["access_token"]

        if self.flag(node, "token", name, "on", random.choice([personal, machine])):
            self.run.tokens.append(token)

    def use(self, node, token):
        return self.reveal(node, random.choice(self.run.steady), token=token)[0]

    def revoke(self, node, token):
        with self.run.lock:
            is_first, token.revoked_at = token.revoked_at is None, token.revoked_at or time.monotonic()
        if is_first and self.flag(node, "token", token.name, "off",
                                  lambda: self.clients[node].done("DELETE", token.url)):
            self.use(node, token)
            self.see(node, lambda other: self.use(other, token) == 401)

    def see(self, node, is_seen):
        """Asks another server again and again until it answers as things are now."""
        others = self.run.others(node)
        if others:
            other, end = random.choice(others), time.monotonic() + 2 * BOUND
            while not is_seen(other) and time.monotonic() < end:
                time.sleep(0.005)

    def step(self):
        run, node, chance = self.run, self.run.some_server(), random.random()
        values = [*run.steady, *run.fleeting]
        # A revoked one is tried for three seconds more.
        late = time.monotonic() - 3
        tokens = [token for token in run.tokens if token.revoked_at is None or token.revoked_at > late]
        if chance < 0.35:
            path = random.choice(values)
            self.reveal(node, path, random.choice([None, None, None, self.recent(path)]))
        elif chance < 0.55:
            path = random.choice(values)
            status, answer = self.put(node, path)
            if status == 200 and random.random() < 0.7:
                self.reveal(node, path)
                version = answer.body["version"]
                self.see(node, lambda other: self.reaches(other, path, version))
        elif chance < 0.60:
            self.destroy(node, random.choice(values))
        elif chance < 0.68:
            path = random.choice(run.fleeting)
            if random.random() < 0.6:
                self.create(node, path)
            else:
                self.do(node, "delete", path, None, "DELETE", secret(path))
        elif chance < 0.80:
            random.choice([self.put, self.reveal, self.reveal])(node, random.choice(list(run.keyed)))
        elif chance < 0.84:
            self.toggle(node, random.choice(list(run.keyed)))
        elif not tokens or chance < 0.86 and len(tokens) < 20:
            self.make_token(node)
        elif chance < 0.98:
            self.use(node, random.choice(tokens))
        else:
            self.revoke(node, random.choice(tokens))

    def reaches(self, node, path, version):
        status, answer = self.reveal(node, path)
        return status != 200 or answer.body["version"] >= version


def main():
    print(f"self-test: {self_test()} histories judged rightly")
    if sys.argv[1] == "--self-test":
        return
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 20
    folder, database, servers = tempfile.mkdtemp(), None, []
    os.chmod(folder, 0o711)
    try:
        database = Postgres(f"{folder}/db", "fsync=off")
        servers += [Server(sys.argv[1], folder, f"server-{number}", database.url) for number in range(3)]
        servers[0].bootstrap()
        servers[0].start()
        for server in servers[1:]:
            server.join(servers[0])
        servers[1].start()
        account = Client(servers[0]).done("POST", "/v1/service-accounts", {"name": "machine"})["identity"]
        Client(servers[0]).done("POST", "/v1/iam/roles/secrets-full-access/bindings",
                                {"name": "machine", "serviceAccountIdentity": account})
        for count in (2, 3):
            if count == 3:
                servers[2].start()
            run = Run(servers[:count], f"/with-{count}", f"/v1/service-accounts/{account}/access-credentials")
            run.run(seconds)
            report(count, run)
        servers[0].check_log()
    except (AssertionError, Lost, TimeoutError) as error:
        sys.exit(f"{error}\n" + "".join(f"{server.name}:\n{server.said()}" for server in servers if server.child))
    finally:
        for server in servers:
            if server.child:
                server.kill()
        if database:
            database.stop()
        shutil.rmtree(folder)


def report(count, run):
    counts, refuted, reasons = run.check()
    lags = collections.defaultdict(float)
    for (kind, _), history in run.histories.items():
        lags[kind] = max(lags[kind], behind(kind, history))
    operations = [op for history in run.histories.values() for op in history]
    unknown = sum(op.answer is None for op in operations)
    print(f"{count} servers: {len(operations)} operations, {unknown} without an answer; {run.stops} times one was "
          f"stopped, {run.meanwhile} operations meanwhile\n"
          f"  histories checked: {counts['secret']} of secrets, {counts['key']} of keys, {counts['token']} of tokens; "
          f"{counts['false']} more with one answer changed, all refused\n"
          f"  stale {refuted['secret']}, after a disable {refuted['key']}, after a revoke {refuted['token']}; another "
          f"server was behind for at most: values {lags['secret'] * 1000:.0f} ms, keys {lags['key'] * 1000:.0f} ms, "
          f"tokens {lags['token'] * 1000:.0f} ms", flush=True)
    assert not reasons, "\n".join(reasons[:3])


if __name__ == "__main__":
    main()
