"""Runs a client program and compares two transcripts. Not for: knowing any client, server or protocol."""

import difflib
import json
import os
import re
import subprocess

from services import HEADERS, Failure

CLIENT_TIMEOUT = 60

# What differs from run to run, gate or no gate.
VOLATILE = [
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uuid>"),
    (r"\d{1,2}:\d{2}:\d{2} [AP]M", "<time>"),
    (r"127\.0\.0\.1:\d+", "<address>"),
]


def masked(transcript):
    text = json.dumps(transcript, indent=1, sort_keys=True, ensure_ascii=False)
    for pattern, name in VOLATILE:
        text = re.sub(pattern, name, text)
    return text.splitlines()


def compare(direct, gated):
    """Fails with a unified diff where the two transcripts differ, or if there was nothing to compare with."""
    if broken := direct.get("broken"):
        raise Failure("without the gate: " + "; ".join(broken))
    differences = difflib.unified_diff(masked(direct), masked(gated), "direct", "through the gate", lineterm="")
    if shown := [line if len(line) <= 300 else line[:300] + " …" for line in differences]:
        raise Failure("\n".join(shown[:200]))


def output(command, **environment):
    """What a client program prints, read as JSON."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            env={**os.environ, "HEADERS": HEADERS, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CLIENT_TIMEOUT,
        )
    except subprocess.TimeoutExpired as late:
        raise Failure(f"{command} did not end:\n{(late.stderr or b'').decode()[-2000:]}") from late
    if done.returncode:
        raise Failure(f"exit code {done.returncode}\n{done.stderr[-3000:]}{done.stdout[-1000:]}")
    return json.loads(done.stdout)
