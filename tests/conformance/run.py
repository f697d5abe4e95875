"""Runs the official conformance suite, and a client of our own, on our fixture server directly, through the gate, and
through a view of it.

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

# A view is a server of its own. It tells that its lists have changed when they have, and not whenever a server says so;
# and it answers a list by itself, and never by a stream, which is all that one check looks at.
OWN_IN_VIEW = {
    "sep-2575-server-sends-tools-list-changed-on-subscription",
    "sep-2575-server-sends-prompts-list-changed-on-subscription",
    "server-sse-streams-functional",
}
# The same of what our client does: what it is told of the server, of what is not there, and of lists that have changed.
STEPS_OF_VIEW = {"server", "no_such_tool", "test://nothing", "subscriptions/listen"}

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
# The suite knows things by their own names.
VIEWS = """\
views:
  all: { names: bare, servers: { fixture: { tools: ["*"], prompts: ["*"], resources: ["*"] } } }
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
def gate(program, upstream, folder, at):
    """Runs a gate before this server, and gives the address at this path of it."""
    (folder / "policies").mkdir(parents=True)
    (folder / "policies/fixture.yaml").write_text(POLICY)
    (folder / "policies/principals.yaml").write_text("anonymous: true\n")
    (folder / "policies/views.yaml").write_text(VIEWS)
    (folder / "tollgate.yaml").write_text(CONFIG)
    command = [*program, "run", "--config", folder / "tollgate.yaml", "--server", f"fixture={upstream}"]
    with listening(command) as process:
        yield process.line(rf"listening on (http://[^/\s]+{at})\b", process.stderr)[1]


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


def own(side, key):
    return side == "view" and key[1] in OWN_IN_VIEW


def differences(run, results, expected):
    """What is not as it should be, one text for each."""
    direct = results["direct"]
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
    for key in sorted(set().union(*results.values())):
        unlisted = [side for side in results if key[:2] in failing[side] - listed[side]]
        differs = [side for side in results if verdict(results[side], key) != verdict(direct, key) and not own(side, key)]
        excused = any(key[:2] in listed[side] for side in results)
        if unlisted or (differs and not excused):
            scenario, check, _ = key
            yield "".join([f"{scenario} / {check}", *(f"\n    {side}: {told(results[side], key)}" for side in results)])


def summary(results):
    ends = Counter(check["status"] for check in results.values())
    warned = f" ({ends['WARNING']} warned)" if ends["WARNING"] else ""
    return f"{ends['SUCCESS']}/{ends['FAILURE']}{warned}"


def compare(suite, run, addresses, scratch, expected):
    """One run of the suite on every way, at the same time; returns how many differences it printed."""
    with ThreadPoolExecutor() as pool:
        ends = {
            side: pool.submit(suite.run, address, RUNS[run], scratch / f"{run}-{side}")
            for side, address in addresses.items()
        }
        results = {side: end.result() for side, end in ends.items()}
    found = list(differences(run, results, expected))
    direct = results["direct"]
    scenarios = len({scenario for scenario, _, _ in direct})
    ways = ", ".join(f"{side} {summary(checks)}" for side, checks in results.items())
    print(f"{run}: {scenarios} scenarios, {len(direct)} checks, passed/failed {ways}", flush=True)
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


def in_order(step, answer):
    """A list, by name: a view has its own order."""
    return sorted(answer, key=lambda thing: thing["name"]) if step.endswith("/list") else answer


def compare_clients(program, lifecycle, version, addresses):
    """Our own client on every way; returns how many differences it printed."""
    seen = {side: client(program, lifecycle, address) for side, address in addresses.items()}
    direct = {step: for_one_caller(step, answer) for step, answer in seen.pop("direct").items()}
    found = []
    for side, through in seen.items():
        steps = direct.keys() | through.keys()
        for step in sorted(steps - STEPS_OF_VIEW if side == "view" else steps):
            theirs, ours = direct.get(step), through.get(step)
            if side == "view":
                theirs, ours = in_order(step, theirs), in_order(step, ours)
            if theirs != ours:
                found.append(f"{step}\n    direct: {json.dumps(theirs)[:3000]}\n    {side}: {json.dumps(ours)[:3000]}")
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
        addresses = {"direct": direct}
        for side, at in {"gate": "/mcp", "view": "/views/all/mcp"}.items():
            upstream = stack.enter_context(fixture(chosen.fixture))
            addresses[side] = stack.enter_context(gate(chosen.gate.split(), upstream, scratch / side, at))
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
