"""Whether what several servers have answered can be: a search for an order of all operations in which one store would
have given the same answers (Wing and Gong), for one secret, key or token at a time.

Writes stand in an order that agrees with time: what was answered before another one was sent comes first. Reads may be
behind, within bounds: a read comes after every write that was acknowledged more than BOUND before it was sent, after
every write that its own server had acknowledged by then, and, where it reads what is current, after what its own
server had answered to such a read by then. Nothing comes after what was sent when it had been answered already."""

import itertools
import math
import random
from bisect import bisect_left
from collections import namedtuple

BOUND = 1.0


class Op(namedtuple("Op", "node name argument begun ended answer")):
    """One operation. What nobody knows the end of has no answer: it may have been carried out, now or later."""
    WRITES = {"create", "put", "destroy", "delete", "on", "off"}

    @property
    def writes(self):
        return self.name in self.WRITES

    @property
    def reads_current(self):
        return self.name == "reveal" and self.argument is None

    def __str__(self):
        what = self.name if self.argument is None else f"{self.name} {self.argument}"
        return f"{what} on server {self.node} at {self.begun:.3f} to {self.ended:.3f} s, answered {self.answer}"


def secret_model(state, op):
    """What a store answers and how it is then. A secret that is there: its values by version, `None` if destroyed."""
    if op.name == "create":
        return ((409,), state) if state is not None else ((201,), (op.argument,))
    if state is None:
        return (404,), None
    if op.name == "delete":
        return (204,), None
    if op.name == "put":
        return (200, len(state) + 1), (*state, op.argument)
    version = op.argument
    if version is None:
        version = next((at for at in range(len(state), 0, -1) if state[at - 1] is not None), None)
        if version is None:
            return (400,), state
    if version > len(state):
        return (404,), state
    if op.name == "destroy":
        return (204,), (*state[:version - 1], None, *state[version:])
    value = state[version - 1]
    return ((400,) if value is None else (200, version, value)), state


def flag_model(state, op):
    """What is good or not, such as a token or a key."""
    if op.writes:
        return (200,), op.name == "on"
    return (state,), state


class Those:
    """Some operations of a history, by number: in the order in which they began, and in which they ended."""

    def __init__(self, ops, are):
        self.ops = ops
        self.begun = [at for at, op in enumerate(ops) if are(op)]
        self.ended = sorted(self.begun, key=lambda at: ops[at].ended)
        self.ends = [ops[at].ended for at in self.ended]

    def first_end(self, done, base):
        """When the first of those that are not done ended. All known ones before `base` are done."""
        start = bisect_left(self.ends, self.ops[base].begun) if base < len(self.ops) else len(self.ends)
        return next((self.ends[at] for at in range(start, len(self.ends)) if not done >> self.ended[at] & 1), math.inf)

    def left(self, done, base, before):
        """Those that are not done and began before."""
        for at in itertools.islice(self.begun, bisect_left(self.begun, base), None):
            if self.ops[at].begun >= before:
                return
            if not done >> at & 1:
                yield at


class Search:
    """The operations of one history; `bound` is how far a read may be behind."""

    def __init__(self, model, state, history, bound):
        # Of a read without an answer nothing is known.
        said = [op for op in history if op.writes or op.answer is not None]
        self.model, self.first, self.bound = model, state, bound
        self.ops = ops = sorted(said, key=lambda op: op.begun)
        self.unknown = sum(1 << at for at, op in enumerate(ops) if op.answer is None)
        self.all = (1 << len(ops)) - 1 & ~self.unknown
        self.writes = Those(ops, lambda op: op.writes)
        self.doubtful = Those(ops, lambda op: op.answer is None)
        self.reads = Those(ops, lambda op: not op.writes)
        nodes = {op.node for op in ops}
        self.writes_on = {node: Those(ops, lambda op: op.writes and op.node == node) for node in nodes}
        self.current_on = {node: Those(ops, lambda op: op.reads_current and op.node == node) for node in nodes}
        self.others = Those(ops, lambda op: not op.writes and not op.reads_current)

    def base(self, done):
        """The first known operation that is not done."""
        done |= self.unknown
        return (~done & (done + 1)).bit_length() - 1

    def fits(self, state, at):
        return self.model(state, self.ops[at])[0] == self.ops[at].answer

    def read(self, state, done):
        """Done, with every read that can stand here. None has to wait: reads change nothing."""
        base = self.base(done)
        behind = self.writes.first_end(done, base) + self.bound
        own = {node: those.first_end(done, base) for node, those in self.writes_on.items()}
        for node, those in self.current_on.items():
            changed = True
            while changed:
                before = min(behind, own[node], those.first_end(done, base))
                found = [at for at in those.left(done, base, before) if self.fits(state, at)]
                changed = bool(found)
                done |= sum(1 << at for at in found)
        for at in list(self.others.left(done, base, behind)):
            if self.ops[at].begun < own[self.ops[at].node] and self.fits(state, at):
                done |= 1 << at
        return done

    def steps(self, state, done):
        """What can have been written next, and how it is then; what nobody knows of comes last."""
        base = self.base(done)
        before = min(self.writes.first_end(done, base), self.reads.first_end(done, base))
        found = {*self.writes.left(done, base, before), *self.doubtful.left(done, 0, before)}
        for at in sorted(found, key=lambda at: self.ops[at].ended):
            answer, then = self.model(state, self.ops[at])
            if self.ops[at].answer in (None, answer):
                yield then, self.read(then, done | 1 << at)

    def run(self):
        """`None` where there is an order, else what stands in the way of the longest one."""
        done = self.read(self.first, 0)
        farthest, state, seen, stack = done, self.first, set(), []
        steps = iter([(state, done)])
        while True:
            then, done = next(steps, (None, None))
            if done is None:
                if not stack:
                    return self.refuted(farthest, state)
                steps = stack.pop()
                continue
            if done & self.all == self.all:
                return None
            if (done, then) in seen:
                continue
            seen.add((done, then))
            if done.bit_count() > farthest.bit_count():
                farthest, state = done, then
            stack.append(steps)
            steps = self.steps(then, done)

    def refuted(self, done, state):
        first = min((op for at, op in enumerate(self.ops) if not done >> at & 1), key=lambda op: op.ended)
        shown = f"version {len(state)}, values {state[-3:]}" if isinstance(state, tuple) else state
        around = [op for op in self.ops if op.writes and first.begun - 3 < op.begun < first.ended][-8:]
        return "\n  ".join([f"nothing explains: {first}", f"how it can have been: {shown}; written around then:",
                            *map(str, around)])


def refutation(model, state, history, bound=BOUND):
    """`None` for a history that can be, else why it cannot."""
    return Search(model, state, history, bound).run()


def puts_that_stay(history):
    """The acknowledged puts of a secret by version, without what may be gone before the end."""
    if any(op.name == "delete" for op in history):
        return {}
    destroyed = {op.argument for op in history if op.name == "destroy"}
    puts = {op.answer[1]: op for op in history if op.name == "put" and op.answer and op.answer[0] == 200}
    return {version: op for version, op in puts.items() if version not in destroyed}


def falsified(kind, history):
    """The history with one answer changed so that it can no longer be, or `None`."""
    changed = []
    if kind == "secret":
        puts = puts_that_stay(history)
        for op in history:
            put = puts.get(op.answer[1]) if op.reads_current and op.answer and op.answer[0] == 200 else None
            if put and put.ended + BOUND < op.begun and put.answer[1] - 1 in puts:
                before = puts[put.answer[1] - 1]
                changed.append((op, (200, before.answer[1], before.argument)))
    elif kind == "token":
        revoked = min((op.ended for op in history if op.name == "off"), default=math.inf)
        changed = [(op, (True,)) for op in history if op.name == "use" and op.begun > revoked + BOUND and op.answer]
    if not changed:
        return None
    false, answer = random.choice(changed)
    return [op._replace(answer=answer) if op is false else op for op in history]


def behind(kind, history):
    """How long after a write was acknowledged a server was asked and answered as if it had not been, at most."""
    known = [op for op in history if op.answer is not None]
    if kind == "secret":
        reads = [op for op in known if op.reads_current and op.answer[0] == 200]
        return max((op.begun - put.ended for version, put in puts_that_stay(history).items() for op in reads
                    if op.begun > put.ended and op.answer[1] < version), default=0)
    found, writes = [0], [op for op in history if op.writes]
    for write in (op for op in writes if op.answer):
        # Of two at a time nobody knows which was the last.
        if not any(op.begun < write.begun < op.ended for op in writes):
            until = min((op.begun for op in writes if op.begun > write.begun), default=math.inf)
            found += [op.begun - write.ended for op in known if op.name == "use" and write.ended < op.begun
                      and op.ended < until and op.answer[0] != (write.name == "on")]
    return max(found)


def self_test():
    """Histories that can be and such that cannot, each with the name of what is wrong."""
    def op(node, name, argument, begun, ended, *answer):
        return Op(node, name, argument, begun, ended, answer or None)

    made = op(0, "create", "a", 0, 0.1, 201)
    put = op(0, "put", "b", 1, 1.1, 200, 2)
    lost = op(0, "put", "b", 1, math.inf)
    first, second = (200, 1, "a"), (200, 2, "b")

    destroyed = op(0, "destroy", 1, 2, 2.1, 204)

    def reveal(node, at, *answer, version=None):
        return op(node, "reveal", version, at, at + 0.1, *answer)

    secrets = [
        ("", [made, put, reveal(0, 2, *second), reveal(1, 3, *second)]),
        ("", [made, put, reveal(1, 2, *first), reveal(1, 2.2, *second)]),
        ("", [made, put, reveal(1, 1.05, *second), reveal(0, 1.05, *first)]),
        ("", [made, lost, reveal(1, 2, *first), reveal(1, 9, *second)]),
        ("", [made, lost, reveal(1, 9, *first)]),
        ("", [made, put, op(1, "put", "c", 1, 1.1, 200, 3), reveal(1, 1.2, 200, 3, "c")]),
        ("", [made, op(0, "destroy", 1, 1, 1.1, 204), reveal(1, 2, *first, version=1), reveal(0, 2, 400)]),
        ("", [made, op(0, "delete", None, 1, 1.1, 204), op(1, "create", "b", 2, 2.1, 201), reveal(0, 3, 200, 1, "b")]),
        # Sent before the put was acknowledged, answered long after: a server that was stopped meanwhile.
        ("", [made, put, Op(1, "reveal", None, 2, 5, first)]),
        ("", [made, put, reveal(1, 1.2, *first, version=1), reveal(1, 1.2, 404, version=2)]),
        ("a stale read", [made, put, reveal(1, 2.2, *first)]),
        ("a stale read, sent to a stopped server", [made, put, Op(1, "reveal", None, 2.2, 5, first)]),
        ("a stale read where it was written", [made, put, reveal(0, 1.2, *first)]),
        ("a read backwards", [made, put, reveal(1, 1.2, *second), reveal(1, 1.4, *first)]),
        ("a read backwards, of a put without an answer", [made, lost, reveal(1, 2, *second), reveal(1, 3, *first)]),
        ("a read ahead", [made, reveal(1, 0.5, *second), put]),
        ("another value", [made, put, reveal(0, 2, 200, 2, "c")]),
        ("another value of a version", [made, put, reveal(1, 3, 200, 1, "b", version=1)]),
        ("a doubled version", [made, put, op(1, "put", "c", 1.2, 1.3, 200, 2)]),
        ("a gap", [made, op(1, "put", "c", 1, 1.1, 200, 3)]),
        ("a lost write", [made, put, op(1, "put", "c", 3, 3.1, 200, 2), reveal(1, 4, 200, 2, "c")]),
        ("two that made it", [made, op(1, "create", "b", 1, 1.1, 201)]),
        ("a refusal without a reason", [op(1, "create", "b", 0, 0.1, 409)]),
        ("a destroyed version", [made, put, destroyed, reveal(1, 3.2, *first, version=1)]),
        ("a destroyed version at once", [made, put, destroyed, reveal(0, 2.2, *first, version=1)]),
        ("an acknowledged version that is missing", [made, put, reveal(1, 2.2, 404, version=2)]),
        ("a deleted secret", [made, op(0, "delete", None, 1, 1.1, 204), reveal(1, 2.2, *first)]),
        ("the value before it was made anew", [made, op(0, "delete", None, 1, 1.1, 204),
                                               op(0, "create", "b", 1.2, 1.3, 201), reveal(0, 1.4, *first)]),
        ("a made secret that is missing", [made, reveal(1, 2, 404)]),
    ]
    off, on = op(0, "off", None, 1, 1.1, 200), op(0, "on", None, 4, 4.1, 200)

    def use(node, at, good):
        return op(node, "use", None, at, at + 0.1, good)

    flags = [
        ("", [use(0, 0, True), off, use(0, 1.2, False), use(1, 2, True), use(1, 2.2, False), on, use(0, 4.2, True)]),
        ("", [use(0, 0, True), off, use(1, 3.95, True), on]),
        ("", [Op(0, "off", None, 1, math.inf, None), use(1, 9, True)]),
        ("a use after it was revoked", [off, use(1, 2.2, True)]),
        ("a use where it was revoked", [off, use(0, 1.2, True)]),
        ("a use before it was given back", [off, use(1, 3, True), on]),
        ("a refusal after it was given back", [off, on, use(1, 5.2, False)]),
        ("a refusal out of nothing", [use(1, 0.5, False), off]),
    ]
    for model, state, cases in [(secret_model, None, secrets), (flag_model, True, flags)]:
        for name, history in cases:
            why = refutation(model, state, history)
            assert bool(why) == bool(name), f"{name or 'a good history'}: {why or 'not found'}: {history}"
    return len(secrets) + len(flags)
