"""Proves that a client sees through the gate what it sees without it, with the SDKs and servers that people use.

Every client program runs once against the server and once against the gate in front of it; the two transcripts must
be equal. Started by run.sh, which installs what is needed. Exit code 1 if any check fails.
"""

import argparse
import difflib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import telemetry
from services import HEADERS, HERE, KEY, Failure, Services

CLIENT_TIMEOUT = 60

# Which client meets which server. "auto" and "v2-auto" probe for 2026-07-28 and fall back.
BATTERIES = {
    "records": ["python legacy", "python auto", "typescript v1", "typescript v2-legacy", "typescript v2-auto"],
    "everything": ["python legacy", "python auto", "typescript v1", "typescript v2-auto"],
    "bulletin": ["python auto", "typescript v2-auto"],
    "scripted": ["raw"],
}

# What every decision line has, whatever was decided.
DECISION = set("time decision principal server method outcome rule policy duration_ms trace_id".split())

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


def battery(services, server, client, address):
    program, _, mode = client.partition(" ")
    if program == "raw":
        return output([services.python, HERE / "clients/raw.py", address])
    steps = HERE / f"batteries/{server}.json"
    if program == "python":
        return output([services.python, HERE / "clients/python.py", address, steps, mode])
    return output(["node", HERE / "clients/typescript.mjs", address, steps, mode], NODE_MODULES=str(services.modules))


def inspector(services, address, *arguments):
    node = next(services.modules.glob("node-linux-*/bin/node"))
    program = services.modules / "@modelcontextprotocol/inspector/clients/launcher/build/index.js"
    command = [node, program, "--cli", address, "--header", f"x-api-key: {KEY}", "--format", "json", "-q"]
    return output([*command, *arguments], HOME=str(services.scratch))


INSPECTIONS = {
    "tools/list": ["--method", "tools/list"],
    "tools/call": [
        *["--method", "tools/call", "--tool-name", "search_records"],
        *["--tool-args-json", '{"query": "ledger", "limit": 1}'],
    ],
}


class Report:
    """One line per check, and the count at the end."""

    def __init__(self, only):
        self.only = only
        self.passed = self.failed = 0

    def wants(self, name):
        return re.search(self.only, name)

    def check(self, name, run, *arguments):
        if not self.wants(name):
            return
        began = time.monotonic()
        try:
            run(*arguments)
        except Exception as error:  # one check that breaks must not hide the others
            self.failed += 1
            said = str(error) if isinstance(error, Failure) else traceback.format_exc()
            print(f"FAIL {name}\n" + "\n".join(f"     {line}" for line in said.splitlines()), flush=True)
        else:
            self.passed += 1
            print(f"ok   {name} ({time.monotonic() - began:.1f} s)", flush=True)


def check_batteries(services, report):
    for server, clients in BATTERIES.items():
        names = {client: f"{server} · {client}" for client in clients}
        if not any(map(report.wants, names.values())):
            continue
        upstream = services.server(server)
        with services.gate(server, upstream) as gate:
            for client, name in names.items():
                report.check(name, check_battery, services, server, client, upstream, gate.address)


def check_battery(services, server, client, upstream, gate):
    compare(battery(services, server, client, upstream), battery(services, server, client, gate))


def check_inspector(services, report):
    names = {f"records · inspector {method}": arguments for method, arguments in INSPECTIONS.items()}
    if not any(map(report.wants, names)):
        return
    upstream = services.server("records")
    with services.gate("records", upstream) as gate:
        for name, arguments in names.items():
            report.check(
                name,
                lambda chosen=arguments: compare(
                    inspector(services, upstream, *chosen), inspector(services, gate.address, *chosen)
                ),
            )


def check_decisions(services):
    """One line for each message, and `ok` for all that went well."""
    with services.gate("scripted", services.server("scripted")) as gate:
        battery(services, "scripted", "raw", gate.address)
    decisions = [json.loads(line) for line in gate.rest()]
    if short := [decision for decision in decisions if not DECISION <= decision.keys()]:
        raise Failure(f"not all of {sorted(DECISION)} in:\n" + "\n".join(map(json.dumps, short)))
    if len({decision["decision"] for decision in decisions}) != len(decisions):
        raise Failure("a decision was told twice")
    outcomes = {(decision.get("tool", decision["method"]), decision["outcome"]) for decision in decisions}
    odd = {outcome for outcome in outcomes if outcome[1] != "ok"}
    if odd != {("hold", "cancelled"), ("numbers", "invalid")}:
        raise Failure(f"only the call that was hung up and the one without a session should fail, but: {odd}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    gate = HERE.parents[1] / "target/debug/tollgate"
    arguments.add_argument("--gate", default=str(gate), help="the command that is the gate")
    arguments.add_argument("--cache", type=Path, required=True, help="where setup.sh installed the others")
    arguments.add_argument("--only", default="", metavar="REGEX", help="run the checks whose names match")
    chosen = arguments.parse_args()
    report = Report(chosen.only)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an exit passes through every `finally`
    with (
        tempfile.TemporaryDirectory() as scratch,
        Services(chosen.cache.resolve(), chosen.gate.split(), Path(scratch)) as services,
    ):
        check_batteries(services, report)
        check_inspector(services, report)
        report.check("scripted · decision lines", check_decisions, services)
        for protocol in ("grpc", "http/protobuf"):
            report.check(f"scripted · telemetry over {protocol}", telemetry.check, services, protocol)
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


if __name__ == "__main__":
    sys.exit(main())
