#!/usr/bin/env python3
"""Verifies an audit log of Tollgate with nothing but Python's standard library: a second opinion on `tollgate audit verify`.

Usage: verify.py LOG KEY [--checkpoint FILE]... [--partial]

LOG is a folder of segments or a file of records; KEY is a verifying key (NAME+ID+BASE64) or a file with one. It exits
as `tollgate audit verify` does: 0 intact and signed, 1 intact but the end is not signed yet, 2 it cannot be said, and
from 10 on what was done. deploy/audit.md describes the format; this is all of it in code.
"""

import argparse
import base64
import hashlib
import json
import pathlib
import re
import sys

UNREADABLE, EDITED, MISSING, REORDERED, FORGED, REWRITTEN, TRUNCATED, FOREIGN = range(10, 18)


class Tampered(Exception):
    pass


# Ed25519 verification (RFC 8032, 5.1.7), over the curve in affine coordinates: slow, short, and independent.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def recover(data):
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or y >= P or (x == 0 and sign):
        raise ValueError("no point of the curve")
    return (P - x if x & 1 != sign else x, y)


def add(one, other):
    (a, b), (c, d) = one, other
    both = D * a * b * c * d % P
    return ((a * d + b * c) * pow(1 + both, -1, P) % P, (b * d + a * c) * pow(1 - both, -1, P) % P)


def times(point, number):
    result = (0, 1)
    while number:
        if number & 1:
            result = add(result, point)
        point, number = add(point, point), number >> 1
    return result


BASE = recover((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def signed(public, text, signature):
    if len(signature) != 64:
        return False
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    hashed = int.from_bytes(hashlib.sha512(r + public + text).digest(), "little") % ORDER
    try:
        return s < ORDER and times(BASE, s) == add(recover(r), times(recover(public), hashed))
    except ValueError:
        return False


# Signed notes (c2sp.org/signed-note) that are checkpoints (c2sp.org/tlog-checkpoint).
class Key:
    def __init__(self, text):
        self.name, hint, material = text.strip().split("+", 2)
        material = base64.b64decode(material, validate=True)
        self.id = hashlib.sha256(self.name.encode() + b"\n" + material).digest()[:4]
        if material[0] != 1 or len(material) != 33 or self.id.hex() != hint:
            raise ValueError("not an Ed25519 key, or damaged")
        self.public = material[1:]

    def open(self, note):
        """The size and root that were signed."""
        size, root = self.opened(note, checkpoint)
        return int(size), root

    def next(self, note):
        """The key that signs from then on."""
        return self.opened(note, handed_over)

    def opened(self, note, read):
        """What `read` makes of a note that this key has signed."""
        try:
            text, signatures = note[: note.rindex("\n\n") + 1], note[note.rindex("\n\n") + 2 :]
            origin = text.split("\n")[0]
            said = read(*text.split("\n")[:3])
            if not signatures.endswith("\n"):
                raise ValueError
            found = [re.fullmatch("— (\\S+) (\\S+)", line).groups() for line in signatures[:-1].split("\n")]
            found = [(name, base64.b64decode(signature, validate=True)) for name, signature in found]
        except (ValueError, TypeError, AttributeError):
            raise Tampered(FORGED) from None
        if origin != self.name:
            raise Tampered(FOREIGN)
        ours = [signature[4:] for name, signature in found if name == self.name and signature[:4] == self.id]
        if not ours:
            raise Tampered(FOREIGN)
        if not signed(self.public, text.encode(), ours[-1]):
            raise Tampered(FORGED)
        return said


def checkpoint(_origin, size, root):
    if not re.fullmatch(r"0|[1-9][0-9]*", size):
        raise ValueError
    return size, base64.b64decode(root, validate=True)


def handed_over(origin, said, key):
    if said != "next key" or Key(key).name != origin:
        raise ValueError
    return Key(key)


# The chain, and the Merkle tree over it (RFC 6962, 2.1).
class Log:
    def __init__(self, size=0, last=bytes(32), edge=()):
        self.size, self.last, self.edge = size, last, list(edge)

    def push(self, line):
        node = self.last = hashlib.sha256(b"\0" + line).digest()
        size = self.size
        while size & 1:
            node = hashlib.sha256(b"\1" + self.edge.pop() + node).digest()
            size >>= 1
        self.edge.append(node)
        self.size += 1

    def root(self):
        if not self.edge:
            return hashlib.sha256().digest()
        root = self.edge[-1]
        for left in reversed(self.edge[:-1]):
            root = hashlib.sha256(b"\1" + left + root).digest()
        return root


def without_doubles(pairs):
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def parse(line):
    try:
        record = json.loads(line.decode(), object_pairs_hook=without_doubles)
        if not isinstance(record["index"], int) or not isinstance(record["kind"], str):
            raise ValueError
        return record, bytes.fromhex(record["prev"])
    except (ValueError, KeyError, TypeError):
        raise Tampered(UNREADABLE) from None


def lines(path):
    """Every line, and whether it is whole and nothing follows it."""
    files = sorted(p for p in path.iterdir() if re.fullmatch(r"\d{20}\.jsonl", p.name)) if path.is_dir() else [path]
    if not files:
        raise OSError("there is no segment in it")
    for file in files:
        with file.open("rb") as opened:
            for line in opened:
                if line.endswith(b"\n"):
                    yield line[:-1], True
                elif file == files[-1]:
                    yield line, False
                else:
                    raise Tampered(UNREADABLE)


def verify(path, key, notes, partial):
    """How many lines there are, and how many at the end nobody has signed."""
    kept, unopened = {}, list(notes)

    def open_kept():
        """Opens what was kept elsewhere, as far as the key has signed it; perhaps a later one has."""
        for note in list(unopened):
            try:
                size, root = key.open(note)
            except Tampered as tampered:
                if tampered.args == (FOREIGN,) and note.split("\n")[0] == key.name:
                    continue
                raise
            unopened.remove(note)
            kept[size] = root

    open_kept()
    log, signed_up_to, first = None, 0, 0
    rest = lines(path)
    for line, whole in rest:
        if not whole:
            return log.size if log else 0, 1
        record, before = parse(line)
        if log is None:
            tree = record.get("tree")
            if tree is None or (record["index"] > 0 and not partial):
                log = Log()
                raise_missing(log, rest)
            first = record["index"]
            log = Log(first, before, [bytes.fromhex(node) for node in tree])
        if record["index"] > log.size:
            raise_missing(log, rest)
        if record["index"] < log.size:
            raise Tampered(REORDERED)
        if before != log.last:
            raise Tampered(EDITED)
        if record["kind"] == "checkpoint":
            if key.open(record.get("note", "")) != (log.size, log.root()):
                raise Tampered(REWRITTEN)
            signed_up_to = log.size + 1
        if record["kind"] == "key":
            key = key.next(record.get("note", ""))
            open_kept()
        if record["kind"] == "segment":
            if record.get("origin") != key.name:
                raise Tampered(FOREIGN)
            if record.get("tree") != [node.hex() for node in log.edge]:
                raise Tampered(REWRITTEN)
            signed_up_to += signed_up_to == log.size
        log.push(line)
        if kept.get(log.size, log.root()) != log.root():
            raise Tampered(REWRITTEN)
    size = log.size if log else 0
    if unopened:
        raise Tampered(FOREIGN)
    if any(known > size for known in kept):
        raise Tampered(TRUNCATED)
    if first and any(known <= first for known in kept):
        raise Tampered(MISSING)
    return size, size - min(signed_up_to, size)


def raise_missing(log, rest):
    """Lines that are missing where they should be may stand elsewhere."""
    elsewhere = any(whole and parse(line)[0]["index"] == log.size for line, whole in rest)
    raise Tampered(REORDERED if elsewhere else MISSING)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("log", type=pathlib.Path)
    parser.add_argument("key")
    parser.add_argument("--checkpoint", type=pathlib.Path, action="append", default=[])
    parser.add_argument("--partial", action="store_true")
    args = parser.parse_args()
    try:
        key = pathlib.Path(args.key)
        key = Key(key.read_text() if key.exists() else args.key)
        size, unsigned = verify(args.log, key, [path.read_text() for path in args.checkpoint], args.partial)
    except Tampered as tampered:
        print(f"tampered: {tampered}")
        return int(str(tampered))
    except (OSError, ValueError) as error:
        print(f"it cannot be said: {error}", file=sys.stderr)
        return 2
    print(f"intact: {size} lines, {unsigned} of them not signed yet")
    return 1 if unsigned else 0


if __name__ == "__main__":
    sys.exit(main())
