#!/usr/bin/env python3
"""SIGKILL under load, at random moments: nothing acknowledged is lost, nothing is half there, nothing is done twice.
Usage: tests/kill-rounds.py COFFERD [ROUNDS] [--only sqlite|server|postgres]; 100 rounds each by default.

sqlite: cofferd on its embedded store is killed. server: cofferd on PostgreSQL is killed. postgres: every process of
the database is killed and started again; cofferd goes on by itself. Whoever has lost an answer asks again, under the
same idempotency key, until there is one; so after each round it is known exactly what has to be there."""

import argparse
import collections
import concurrent.futures
import itertools
import os
import random
import shutil
import sys
import tempfile
import threading
import time

from coffer_test import KEYS, PATIENCE, SECRETS, Client, Lost, Postgres, Server, decoded, encoded, secret, until

THREADS = 8
SHARED = 4
CONTESTED = 6
CREATE, PUT, DESTROY, DELETE = "secrets.create", "secrets.putSecretValue", "secrets.version.destroy", "secrets.delete"
RECORDED = ",".join([CREATE, PUT, DESTROY, DELETE, "kms.encrypt"])


class Broken(Exception):
    """A promise that was not kept."""


def promise(kept, what):
    if not kept:
        raise Broken(what)


class Wish:
    """One change that somebody wants, however often it has to be asked for."""
    numbers = itertools.count()

    def __init__(self, action, path, method, url, body=None):
        self.action, self.path, self.method, self.url, self.body = action, path, method, url, body
        self.key = f"w{next(self.numbers)}"
        # The id and the answer of each time that it was asked for.
        self.attempts = []

    def ask(self, client, *statuses):
        """The answer, which has one of these statuses."""
        headers = {"Idempotency_Key": self.key} if self.method == "POST" else {}
        end = time.monotonic() + PATIENCE
        while True:
            attempt = [f"{self.key}.{len(self.attempts)}", None]
            self.attempts.append(attempt)
            try:
                answer = client.call(self.method, self.url, self.body, X_Request_Id=attempt[0], **headers)
                promise(answer.status in statuses, f"{self}: {answer}")
                attempt[1] = answer
                return answer
            except Lost as lost:
                promise(time.monotonic() < end, f"{self}: no answer for {PATIENCE} s, last: {lost}")
                time.sleep(random.uniform(0.01, 0.05))

    def was_lost(self):
        return len(self.attempts) > 1

    def __repr__(self):
        return f"{self.action} of {self.path} under {self.key}, asked {len(self.attempts)} times"


class Round:
    """The load of one round in a folder of its own, and what has to be there when it is over."""

    def __init__(self, case, number):
        self.case, self.folder = case, f"/r{number}"
        self.wishes, self.lock, self.over = [], threading.Lock(), threading.Event()
        self.shared = [f"{self.folder}/shared/{n}" for n in range(SHARED)]
        # Of each path: its values by version, `None` for what is destroyed.
        self.expected = collections.defaultdict(dict)

    def wish(self, *arguments):
        wish = Wish(*arguments)
        with self.lock:
            self.wishes.append(wish)
        return wish

    def create(self, client, path, *statuses):
        """Whether it was made now."""
        value = self.fresh_value()
        body = {"path": path, "kmsKeyIdentity": self.case.key, "secretString": encoded(value)}
        answer = self.wish(CREATE, path, "POST", SECRETS, body).ask(client, 201, *statuses)
        if answer.status == 201:
            with self.lock:
                promise(not self.expected[path], f"{path} was made twice")
                self.expected[path][1] = value
        return answer.status == 201

    def put(self, client, path):
        value = self.fresh_value()
        wish = self.wish(PUT, path, "POST", secret(path, "/versions"), {"secretString": encoded(value)})
        version = wish.ask(client, 200).body["version"]
        with self.lock:
            promise(version not in self.expected[path], f"{wish}: version {version} was somebody else's")
            self.expected[path][version] = value

    def destroy(self, client, path):
        with self.lock:
            version = random.choice(list(self.expected[path]))
        url = secret(path, f"/versions?version={version}")
        self.wish(DESTROY, path, "DELETE", url).ask(client, 204)
        with self.lock:
            self.expected[path][version] = None

    def delete(self, client, path):
        wish = self.wish(DELETE, path, "DELETE", secret(path))
        answer = wish.ask(client, 204, 404)
        promise(answer.status == 204 or wish.was_lost(), f"{wish}: it was not there")
        self.expected[path].clear()

    @staticmethod
    def fresh_value():
        return f"{random.getrandbits(64):x} " + "x" * random.randrange(2000)

    def work(self, client, number):
        """Changes at random until the round is over: of what all share, and of a secret of one's own."""
        own, contested = f"{self.folder}/own/{number}", iter(range(CONTESTED))
        while not self.over.is_set():
            chance = random.random()
            if chance < 0.4:
                self.put(client, random.choice(self.shared))
            elif chance < 0.5:
                self.destroy(client, random.choice(self.shared))
            elif chance < 0.6:
                # Many want to make it: one does.
                if (n := next(contested, None)) is not None:
                    self.create(client, f"{self.folder}/contested/{n}", 409)
            elif not self.expected[own]:
                self.create(client, own)
            else:
                random.choice([self.put, self.put, self.destroy, self.delete])(client, own)

    def run(self, pool, kill):
        list(pool.map(lambda path: self.create(self.case.client(), path), self.shared))
        workers = [pool.submit(self.work, Client(self.case.server), number) for number in range(THREADS)]
        try:
            time.sleep(random.uniform(0.05, 0.4))
            kill()
        finally:
            self.over.set()
        for worker in workers:
            worker.result()

    def check(self, pool):
        """What is there: exactly what was acknowledged, and all of it whole."""
        listed = self.case.client().done("GET", f"{SECRETS}?pathPrefix={self.folder}/")
        there = {path: versions for path, versions in self.expected.items() if versions}
        contested = {wish.path for wish in self.wishes if "/contested/" in wish.path}
        promise(contested <= set(there), f"nobody has made {contested - set(there)}")
        same_paths([one["path"] for one in listed], there)
        list(pool.map(lambda path: self.check_versions(self.case.client(), path), there))
        list(pool.map(lambda at: self.check_value(self.case.client(), *at),
                      [(path, *version) for path, versions in there.items() for version in versions.items()]))

    def check_versions(self, client, path):
        described = client.done("GET", secret(path) + "?includeVersions=true")
        have = {one["version"]: one["status"] for one in described["versions"]}
        promise(len(have) == len(described["versions"]), f"{path}: a version stands twice")
        expected = self.expected[path]
        promise(sorted(have) == list(range(1, len(have) + 1)), f"{path}: versions {sorted(have)} have a gap")
        promise(set(have) == set(expected), f"{path}: versions {sorted(have)}, acknowledged {sorted(expected)}")
        for version, value in expected.items():
            status = "destroyed" if value is None else "active"
            promise(have[version] == status, f"{path} version {version} is {have[version]}, not {status}")
        promise(described["currentVersion"] == current(expected), f"{path}: {described['currentVersion']} is current")

    def check_value(self, client, path, version, value):
        answer = client.call("POST", secret(path, "/value"), {"version": version})
        promise(answer.status == (400 if value is None else 200), f"{path} version {version}, {value}: {answer}")
        if value is not None:
            promise(decoded(answer.body["secretString"]) == value, f"{path} version {version} has another value")


def current(versions):
    return max((version for version, value in versions.items() if value is not None), default=0)


def same_paths(listed, there):
    promise(len(listed) == len(set(listed)), "a path is listed twice")
    promise(set(listed) == set(there), f"lost: {set(there) - set(listed)}, wrongly there: {set(listed) - set(there)}")


class Case:
    """One store and whoever is killed: its rounds, and what all of them together have left."""

    def __init__(self, cofferd, folder, name):
        self.cofferd, self.folder, self.name = cofferd, folder, name
        self.server = self.postgres = self.key = None
        self.mine = threading.local()
        self.rounds, self.unaudited, self.records = [], [], set()

    def start(self):
        if self.name != "sqlite":
            # `fsync` stays on where the database is killed; the file system is told once before recovery, and not
            # each of a thousand files.
            settings = ["fsync=off"] if self.name == "server" else ["recovery_init_sync_method=syncfs"]
            self.postgres = Postgres(f"{self.folder}/{self.name}-db", *settings)
        self.server = Server(self.cofferd, self.folder, self.name, self.postgres and self.postgres.url)
        self.server.bootstrap()
        self.server.start()
        self.key = self.client().done("POST", KEYS, {"name": "k"})["identity"]

    def client(self):
        """The present thread's own."""
        return self.mine.__dict__.setdefault("client", Client(self.server))

    def kill(self):
        if self.name == "postgres":
            self.postgres.kill()
            self.postgres.start()
            until("cofferd with its database", self.is_ready, 0.02)
        else:
            self.server.kill()
            self.server.start()

    def is_ready(self):
        """The server lives on, and answers 503 until it has its database again."""
        promise(self.server.child.poll() is None, "cofferd has ended")
        try:
            return Client(self.server).call("GET", "/readyz").status == 200
        except Lost:
            return False

    def run(self, rounds):
        started = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            for number in range(1, rounds + 1):
                now = Round(self, number)
                now.run(pool, self.kill)
                now.check(pool)
                self.rounds.append(now)
                self.unaudited += now.wishes
                if number % 10 == 0 or number == rounds:
                    self.check_records()
                    self.check_all()
                print(".", end="", flush=True)
        print()
        wishes = [wish for one in self.rounds for wish in one.wishes if wish.attempts[-1][1].status < 300]
        lost = [wish for wish in wishes if wish.was_lost()]
        took = time.monotonic() - started
        replayed = sum(wish.attempts[-1][1].headers["Idempotency-Replayed"] == "true" for wish in lost)
        return [self.name, rounds, len(wishes), len(lost), replayed, 0, 0, 0, f"{took:.0f} s", f"{took / rounds:.2f} s"]

    def check_all(self):
        """Whatever an earlier round has left is still there."""
        listed = self.client().done("GET", f"{SECRETS}?pathPrefix=/")
        there = {path: current(versions) for one in self.rounds for path, versions in one.expected.items() if versions}
        same_paths([one["path"] for one in listed], there)
        for one in listed:
            promise(one["currentVersion"] == there[one["path"]], f"{one['path']}: a version has gone since")

    def check_records(self):
        """Each change has left one record, and nothing else has."""
        fresh = self.read_records()
        by_request = collections.defaultdict(list)
        for record in fresh:
            by_request[record["context"]["request_id"]].append(record)
        for wish in self.unaudited:
            self.check_wish(wish, by_request)
        left = [record for records in by_request.values() for record in records]
        promise(not left, f"a record of a change that nobody has asked for: {left[:1]}")
        self.unaudited.clear()
        self.server.check_log()

    def check_wish(self, wish, by_request):
        done = 0
        for request_id, answer in wish.attempts:
            records = by_request.pop(request_id, [])
            sealed = [record for record in records if record["action"] == "kms.encrypt"]
            told = [record for record in records if record["action"] != "kms.encrypt"]
            for record in told:
                promise(record["action"] == wish.action and record["resourceIdentity"] == wish.path,
                        f"{wish}: its record is of something else: {record}")
            if answer is not None:
                statuses = [record["context"]["status"] for record in told]
                promise(statuses == [answer.status], f"{wish}: answered {answer.status}, its records say {statuses}")
            made = [record for record in told if record["context"]["status"] < 300
                    and "answered as before" not in record.get("description", "")]
            seals = wish.action in (CREATE, PUT)
            promise(len(sealed) == (len(made) if seals else 0), f"{wish}: half of its records is missing")
            done += len(made)
        # What is deleted when it is asked for again was deleted before; what is destroyed may be destroyed again.
        wanted = wish.attempts[-1][1].status < 300 or wish.was_lost() and wish.action == DELETE
        promise(done == wanted or done > 1 and wish.action == DESTROY,
                f"{wish}: done {done} times, as its records say")

    def read_records(self):
        """The records that were not there the last time; those of then still are."""
        fresh = {}
        for page in itertools.count(1):
            found = self.client().done("GET", f"/v1/audit?limit=500&page={page}&action={RECORDED}")
            items = {item["eventID"]: item for item in found["items"]}
            promise(len(items) == len(found["items"]) and not items.keys() & fresh.keys(), "a record stands twice")
            fresh.update((event, item) for event, item in items.items() if event not in self.records)
            if not items or items.keys() <= self.records:
                break
        self.records.update(fresh)
        # Counted up to a hundred thousand.
        promise(found["totalItems"] in (len(self.records), 100_000), "a record has gone")
        return fresh.values()

    def stop(self):
        if self.server and self.server.child:
            self.server.kill()
        if self.postgres:
            self.postgres.stop()
        self.server = self.postgres = None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cofferd")
    parser.add_argument("rounds", nargs="?", type=int, default=100)
    parser.add_argument("--only", choices=["sqlite", "server", "postgres"])
    arguments = parser.parse_args()
    rows = [["case", "rounds", "acknowledged", "asked again", "of these done before", "lost", "half there", "doubled",
             "time", "a round"]]
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o711)
    case = None
    try:
        for name in [arguments.only] if arguments.only else ["sqlite", "server", "postgres"]:
            print(f"{name} ", end="", flush=True)
            case = Case(arguments.cofferd, folder, name)
            case.start()
            rows.append(case.run(arguments.rounds))
            case.stop()
    except (Broken, Lost, TimeoutError, AssertionError) as broken:
        said = case.server.said() if case.server else ""
        sys.exit(f"\n{case.name}, round {len(case.rounds) + 1}: {broken}\n{said}")
    finally:
        if case:
            case.stop()
        shutil.rmtree(folder)
    widths = [max(len(str(row[at])) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        print("  ".join(str(value).rjust(width) for value, width in zip(row, widths)))


if __name__ == "__main__":
    main()
