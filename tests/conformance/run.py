"""Runs the official conformance suite, and a client of our own, on our fixture server directly and through the gate.

What fails must be listed in expected.json, and what is listed must fail; besides, no check may end otherwise through
the gate than without it. Started by run.sh, which installs the suite. Exit code 1 if anything is not as it should be.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "interop"))

from services import Failure, Process  # noqa: E402  (found only after the line above)

SUITE_TIMEOUT = 120
CLIENT_TIMEOUT = 60

# What is run of the suite, by protocol revision. A revision without a list of requirements runs all that there is.
RUNS = {
    "2025-03-26": ["--suite", "all", "--spec-version", "2025-03-26"],
    "2025-06-18": ["--suite", "all", "--spec-version", "2025-06-18"],
    "2025-11-25": ["--requirements", "2025-11-25"],
    "2026-07-28": ["--requirements", "2026-07-28"],
}

# How our own client begins, and the revision that it must end up with.
LIFECYCLES = {"initialize": "2025-11-25", "discover": "2026-07-28", "auto": "2026-07-28"}

# The suite opens a stream and has the list changed while the stream is still opening: the notice may come before it,
# with a gate or without. It calls this a warning; success and warning are the same here.
RACING = {"sep-2575-server-sends-prompts-list-changed-on-subscription"}

# The suite sends no credential, so everybody may do everything here.
CONFIG = """\
listen: { address: "127.0.0.1:0" }
admin: { address: "127.0.0.1:0" }
policies: policies/
"""
POLICY = """\
server: fixture
roles:
  anonymous: { tools: ["*"], prompts: ["*"], resources: ["*"], methods: ["*"] }
server_may: [elicitation, sampling, roots]
tools:
  "*": { timeout: 60s }
"""


@contextmanager
def listening(command):
    """Runs a program that says where it listens."""
    process = Process(command)
    try:
        yield process
    finally:
        process.end()


@contextmanager
def fixture(program):
    with listening([program]) as process:
        yield process.line(r"listening on (http://\S+)", process.stdout)[1]


@contextmanager
def gate(program, upstream, folder):
    (folder / "policies").mkdir()
    (folder / "policies/fixture.yaml").write_text(POLICY)
    (folder / "policies/principals.yaml").write_text("anonymous: true\n")
    (folder / "tollgate.yaml").write_text(CONFIG)
    command = [*program, "run", "--config", folder / "tollgate.yaml", "--server", f"fixture={upstream}"]
    with listening(command) as process:
        yield process.line(r"listening on (http://\S+/mcp)", process.stderr)[1]


def finished(command, timeout):
    """Runs a program to its end."""
    command = [str(part) for part in command]
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired as late:
        said = (late.stdout or b"").decode()[-2000:] + (late.stderr or b"").decode()[-2000:]
        raise Failure(f"{command} did not end within {timeout} s:\n{said}") from late


class Suite:
    """The suite as it is installed."""

    def __init__(self, cache):
        modules = cache / "node_modules"
        [node] = modules.glob("node-linux-*/bin/node")
        self.command = [node, modules / "@modelcontextprotocol/conformance/dist/index.js", "server"]

    def run(self, address, options, folder):
        """How each check of each scenario ended: {(scenario, check, how often it was met before): check}."""
        command = [*self.command, "--url", address, *options, "--output-dir", folder]
        done = finished(command, SUITE_TIMEOUT)
        results = {}
        for file in sorted(folder.glob("*/checks.json")):
            # server-SCENARIO-2026-11-21T07-49-38-963Z
            scenario = file.parent.name.removeprefix("server-")[: -len("-2026-11-21T07-49-38-963Z")]
            met = Counter()
            for check in json.loads(file.read_text()):
                # INFO is no verdict, only what was seen on the way.
                if check["status"] != "INFO":
                    results[scenario, check["id"], met[check["id"]]] = check
                met[check["id"]] += 1
        failed = any(check["status"] == "FAILURE" for check in results.values())
        # A failing extension does not make the suite fail; here it does.
        if not results or done.returncode > int(failed):
            raise Failure(f"the suite ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return results


def verdict(results, key):
    check = results.get(key)
    if check is None:
        return "no such check"
    if key[1] in RACING and check["status"] == "WARNING":
        return "SUCCESS"
    return check["status"]


def told(results, key):
    """A check's end in words."""
    check = results.get(key, {})
    text = verdict(results, key)
    for more in (check.get("errorMessage"), check.get("details")):
        if more and text != "SUCCESS":
            text += f"\n      {more if isinstance(more, str) else json.dumps(more)}"[:3000]
    return text


def differences(run, direct, through, expected):
    """What is not as it should be, one text for each."""
    results = {"direct": direct, "gate": through}
    listed = {
        side: {(entry["scenario"], entry["check"]) for entry in expected[side] if entry["run"] == run}
        for side in results
    }
    failing = {
        side: {key[:2] for key in checks if checks[key]["status"] == "FAILURE"} for side, checks in results.items()
    }
    for side in results:
        for scenario, check in sorted(listed[side] - failing[side]):
            yield f"{scenario} / {check}: listed in expected.json, {side}, but does not fail"
    for key in sorted(direct.keys() | through.keys()):
        unlisted = [side for side in results if key[:2] in failing[side] - listed[side]]
        differs = verdict(direct, key) != verdict(through, key)
        excused = any(key[:2] in listed[side] for side in results)
        if unlisted or (differs and not excused):
            scenario, check, _ = key
            yield f"{scenario} / {check}\n    direct: {told(direct, key)}\n    gate:   {told(through, key)}"


def summary(results):
    ends = Counter(check["status"] for check in results.values())
    warned = f" ({ends['WARNING']} warned)" if ends["WARNING"] else ""
    return f"{ends['SUCCESS']}/{ends['FAILURE']}{warned}"


def compare(suite, run, addresses, scratch, expected):
    """One run of the suite on both ways, at the same time; returns how many differences it printed."""
    with ThreadPoolExecutor() as pool:
        ends = [
            pool.submit(suite.run, address, RUNS[run], scratch / f"{run}-{side}") for side, address in addresses.items()
        ]
        direct, through = (end.result() for end in ends)
    found = list(differences(run, direct, through, expected))
    scenarios = len({scenario for scenario, _, _ in direct})
    print(
        f"{run}: {scenarios} scenarios, {len(direct)} checks, "
        f"passed/failed direct {summary(direct)}, gate {summary(through)}",
        flush=True,
    )
    for difference in found:
        print("  " + difference, flush=True)
    return len(found)


def client(program, lifecycle, address):
    """What our own client saw, by what it did."""
    command = [program, "--lifecycle", lifecycle, address]
    done = finished(command, CLIENT_TIMEOUT)
    if done.returncode:
        raise Failure(f"{command} ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def for_one_caller(step, answer):
    """What was decided for one caller must not be cached for another; who the server is depends on nobody."""
    if step != "server" and isinstance(answer, dict) and answer.get("cacheScope") == "public":
        return answer | {"cacheScope": "private"}
    return answer


def compare_clients(program, lifecycle, version, addresses):
    """Our own client on both ways; returns how many differences it printed."""
    direct, through = (client(program, lifecycle, addresses[side]) for side in ("direct", "gate"))
    direct = {step: for_one_caller(step, answer) for step, answer in direct.items()}
    found = [
        f"{step}\n    direct: {json.dumps(direct.get(step))[:3000]}\n    gate:   {json.dumps(through.get(step))[:3000]}"
        for step in sorted(direct.keys() | through.keys())
        if direct.get(step) != through.get(step)
    ]
    spoken = direct["server"]["protocolVersion"]
    if spoken != version:
        found.append(f"speaks {spoken}, not {version}, without the gate")
    print(f"rmcp client, {lifecycle}: speaks {spoken}, {len(direct)} steps, {len(found)} differ", flush=True)
    for difference in found:
        print("  " + difference, flush=True)
    return len(found)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    built = HERE.parents[1] / "target/debug"
    arguments.add_argument("--gate", default=str(built / "tollgate"), help="the command that is the gate")
    arguments.add_argument("--fixture", default=str(built / "tollgate-fixture"), help="the server's program")
    arguments.add_argument("--client", default=str(built / "tollgate-fixture-client"), help="the client's program")
    arguments.add_argument("--cache", type=Path, required=True, help="where setup.sh installed the suite")
    arguments.add_argument("--only", action="append", choices=[*RUNS, *LIFECYCLES], help="run only this (repeatable)")
    chosen = arguments.parse_args()
    expected = json.loads((HERE / "expected.json").read_text())
    suite = Suite(chosen.cache.resolve())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an exit passes through every `finally`
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # A server for each way: what one run announces must not reach the other.
        direct = stack.enter_context(fixture(chosen.fixture))
        upstream = stack.enter_context(fixture(chosen.fixture))
        through = stack.enter_context(gate(chosen.gate.split(), upstream, scratch))
        addresses = {"direct": direct, "gate": through}
        wanted = chosen.only or [*RUNS, *LIFECYCLES]
        found = 0
        for name in wanted:
            try:
                if name in RUNS:
                    found += compare(suite, name, addresses, scratch, expected)
                else:
                    found += compare_clients(chosen.client, name, LIFECYCLES[name], addresses)
            except Failure as failure:  # one run that breaks must not hide the others
                found += 1
                print(f"{name}: {failure}", flush=True)
    print(f"{found} differences" if found else "no differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
