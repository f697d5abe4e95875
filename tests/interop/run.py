"""Proves that a client sees through the gate what it sees without it, with the SDKs and servers that people use.

Every client program runs once against the server and once against the gate in front of it; the two transcripts must
be equal. Started by run.sh, which installs what is needed. Exit code 1 if any check fails.
"""

import argparse
import os
import re
import signal
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import assertion
import credential
import login
import matrix
import scripted
import telemetry
import view
import wire
from services import HERE, Failure, Services


class Report:
    """One line per check, and the count at the end."""

    def __init__(self, only):
        self.only = only
        self.passed = self.failed = 0
        self.lock = threading.Lock()

    def wants(self, name):
        return re.search(self.only, name)

    def check(self, name, run, *arguments):
        if not self.wants(name):
            return
        began = time.monotonic()
        try:
            run(*arguments)
        except Exception as error:  # one check that breaks must not hide the others
            said = str(error) if isinstance(error, Failure) else traceback.format_exc()
            self.tell(f"FAIL {name}\n" + "\n".join(f"     {line}" for line in said.splitlines()), failed=1)
        else:
            self.tell(f"ok   {name} ({time.monotonic() - began:.1f} s)", passed=1)

    def tell(self, line, passed=0, failed=0):
        with self.lock:
            self.passed += passed
            self.failed += failed
            print(line, flush=True)


def check_server(services, report, name):
    """All that one server is for, one after another, with one gate before it."""
    server = matrix.SERVERS[name]
    checks = {f"{name} · {client}": partial(matrix.check, services, name, client) for client in server.clients}
    if server.streamable:
        checks[f"{name} · odd requests"] = partial(wire.check, services)
    if server.streamable and server.listens:
        checks[f"{name} · reconnect"] = partial(wire.check_reconnect, services)
    if not any(map(report.wants, checks)):
        return
    path = "/mcp" if server.streamable else "/sse"
    upstream = services.server(server.runtime, server.program, *server.arguments, path=path)
    # A gate that traces writes its context into what it carries; one that does not changes nothing.
    with services.gate(name, upstream, OTEL_TRACES_EXPORTER="none") as gate:
        for check, run in checks.items():
            report.check(check, run, upstream, gate.address)


def check_scripted(services, report):
    report.check("scripted · raw", scripted.check, services, "raw.py")
    report.check("scripted · streaming", scripted.check, services, "streaming.py")
    report.check("scripted · decision lines", scripted.check_decisions, services)
    for protocol in ("grpc", "http/protobuf"):
        report.check(f"scripted · telemetry over {protocol}", telemetry.check, services, protocol)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    gate = HERE.parents[1] / "target/debug/tollgate"
    arguments.add_argument("--gate", default=str(gate), help="the command that is the gate")
    arguments.add_argument("--cache", type=Path, required=True, help="where setup.sh installed the others")
    arguments.add_argument("--only", default="", metavar="REGEX", help="run the checks whose names match")
    arguments.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many servers to check at a time")
    chosen = arguments.parse_args()
    report = Report(chosen.only)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an exit passes through every `finally`
    with (
        tempfile.TemporaryDirectory() as scratch,
        Services(chosen.cache.resolve(), chosen.gate.split(), Path(scratch)) as services,
        ThreadPoolExecutor(chosen.jobs) as pool,
    ):
        groups = [pool.submit(check_server, services, report, name) for name in matrix.SERVERS]
        groups.append(pool.submit(check_scripted, services, report))
        groups.append(pool.submit(login.check_all, services, report))
        groups.append(pool.submit(assertion.check_all, services, report))
        groups.append(pool.submit(credential.check_all, services, report))
        groups.append(pool.submit(view.check_all, services, report))
        for group in groups:
            group.result()
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


if __name__ == "__main__":
    sys.exit(main())
