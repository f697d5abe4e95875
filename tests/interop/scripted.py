"""Checks with the scripted server: every byte of its replies, and what the gate wrote down about them."""

import json

from compare import compare, output
from services import HERE, Failure

# What every decision line has, whatever was decided.
DECISION = set("time decision principal server method outcome rule policy duration_ms trace_id".split())


# The streaming client sends bodies of two megabytes.
ROOMY = "listen: { max_body_bytes: 4194304 }"


def seen(services, program, address):
    return output([services.runtimes["python 2"], HERE / "clients" / program, address])


def check(services, program):
    """The same bytes, in the same order, and each part when it was sent."""
    upstream = services.server("python 2", "scripted.py")
    with services.gate("scripted", upstream, settings=ROOMY, OTEL_TRACES_EXPORTER="none") as gate:
        compare(seen(services, program, upstream), seen(services, program, gate.address))


def check_decisions(services):
    """One line for each message, and `ok` for all that went well."""
    with services.gate("scripted", services.server("python 2", "scripted.py")) as gate:
        seen(services, "raw.py", gate.address)
    decisions = [json.loads(line) for line in gate.rest()]
    if short := [decision for decision in decisions if not DECISION <= decision.keys()]:
        raise Failure(f"not all of {sorted(DECISION)} in:\n" + "\n".join(map(json.dumps, short)))
    if len({decision["decision"] for decision in decisions}) != len(decisions):
        raise Failure("a decision was told twice")
    outcomes = {(decision.get("tool", decision["method"]), decision["outcome"]) for decision in decisions}
    odd = {outcome for outcome in outcomes if outcome[1] != "ok"}
    if odd != {("hold", "cancelled"), ("numbers", "invalid")}:
        raise Failure(f"only the call that was hung up and the one without a session should fail, but: {odd}")
