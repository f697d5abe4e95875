"""Drives a gate through its faults and asks a Prometheus that scrapes it whatever the dashboards and alerts ask."""

import contextlib
import json
import re
import sys
import time

import yaml

from scene import REPO, Scene, until

OBSERVABILITY = REPO / "deploy/observability"

# What each panel would show: there is no Grafana in the registries that this test uses.
VALUES = REPO / "target/observability/values.txt"
# What this run cannot bring about. One that does return data is told, too: it must be taken out.
NO_DATA = {
    "TLS handshakes": "the gate of this run speaks plain HTTP",
    "Keys of token issuers": "no issuer of tokens here; tests/it/tokens.rs has one",
    "Of no server": "one server here, which counts for what is nobody's; tests/it/several_servers.rs and views.rs have it",
    "Questions that did not reach clients": "the demo's server asks nothing",
    "TollgateIssuerUnreachable": "no issuer of tokens here",
    "TollgateUnrecorded": "the disk of this run is not full; tests/it/audit/ has one that is",
}
# What the faults must bring up, so that a rule that can never speak is seen. Others need more time than a test has.
SPEAKS = {
    "TollgateFailures", "TollgateDenials", "TollgateCircuitOpen", "TollgatePoliciesRefused",
    "TollgateKillSwitchActive", "TollgateLimitsStoreAway",
}
# LogQL's own words; every other name in a query must be one of decision lines.
PIPELINE_WORDS = {"json", "unwrap", "by", "sum", "rate", "topk", "count_over_time", "quantile_over_time", "service_name"}


def calls(scene):
    """Allowed, tried out, refused, limited and late ones."""
    for _ in range(4):
        scene.call("search_records", query="jane.roe@example.com", limit=1)
        scene.call("get_pool_status")                              # the second time its answer is given again
        scene.call("get_record_detail", record_id="far-too-long")  # what is tried out would refuse it
        scene.call("delete_record", record_id="1")                 # not granted
        scene.call("never_heard_of")
        scene.ask("tools/list")
    for _ in range(8):
        scene.call("get_statistics")                               # 5 in 10 s are allowed
    scene.call("slow_report", seconds=0)
    scene.call("slow_report", seconds=3)                           # 1 s is allowed
    for _ in range(40):
        scene.call("delete_record", record_id="1")


def faults(scene):
    """Everything that the dashboards show, brought about once; what is broken stays so."""
    calls(scene)
    # What Prometheus has not seen once does not increase.
    until("the first calls are seen", lambda: len(scene.query('mcp_tool_calls_total{tool_name="slow_report"}')) == 2)
    calls(scene)
    scene.post(b"{ not a message", scene.key)
    kill = ("--config", scene.folder / "tollgate.yaml")
    scene.tollgate("kill", *kill, "--tool", "get_pool_status", "--reason", "a test", "--by", "test", TOLLGATE_KILL_KEY=scene.kill_key)
    scene.call("get_pool_status")
    policy = scene.folder / "policies/records.yaml"
    good = policy.read_text()
    policy.write_text(good + "\n# changed\n")
    until("a changed policy is taken", lambda: scene.query('tollgate_policy_reloads_total{result="ok"} > 0'))
    policy.write_text("server: [")
    until("a broken policy is refused", lambda: scene.query('tollgate_policy_reloads_total{result="refused"} > 0'))
    scene.end(scene.store)
    for _ in range(5):
        scene.call("search_records", query="a", limit=1)
    until("the store is left alone", lambda: scene.query("tollgate_limits_store_circuit_open > 0"))
    scene.end(scene.server)

    def nobody_and_down():
        scene.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        scene.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, "tg_nobodys")
        scene.call("search_records", query="a", limit=1)
        return scene.query('tollgate_upstream_circuit{state="open"} == 1')

    until("the circuit is open", nobody_and_down)
    until("the rules have been evaluated", lambda: spoken(scene) >= SPEAKS or not nobody_and_down())


def spoken(scene):
    return {sample["metric"]["alertname"] for sample in scene.query('ALERTS{alertname=~"Tollgate.*"}')}


def filled_in(query, tool):
    """The query as Grafana would send it, with everything chosen."""
    for name, value in {
        "$__rate_interval": "1m", "$__range": "5m", "$job": ".+", "$instance": ".+", "$server": ".+", "$tool": tool,
    }.items():
        query = query.replace(name, value)
    return query


def series_named(expression):
    """The series that an expression selects, with their matchers."""
    return set(re.findall(r"(?:\b(?:tollgate|mcp|process)_\w+|\w+:(?:tollgate|mcp)_[\w:]+|\bup\b)(?:\{[^}]*\})?", expression))


def metrics_panels():
    for path in sorted((OBSERVABILITY / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                if target["datasource"]["type"] == "prometheus":
                    yield f"{path.stem}: {panel['title']}", panel["title"], target["expr"]


def variables():
    for path in sorted((OBSERVABILITY / "dashboards").glob("*.json")):
        for one in json.loads(path.read_text())["templating"]["list"]:
            if one["type"] == "query":
                selected, label = re.fullmatch(r"label_values\((.*), (\w+)\)", one["query"]["query"]).groups()
                yield f"{path.stem}: ${one['name']}", selected, label


def alerts():
    for group in yaml.safe_load((OBSERVABILITY / "rules.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]


def log_fields(scene):
    """Names in LogQL that no decision line has."""
    lines = [json.loads(line) for line in scene.log.read_text().splitlines() if line.startswith("{")]
    known = set().union(*lines)
    board = json.loads((OBSERVABILITY / "dashboards/principal.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            if target["datasource"]["type"] != "loki":
                continue
            bare = re.sub(r'"[^"]*"|\[[^\]]*\]|\$\w+', "", target["expr"])
            for word in sorted(set(re.findall(r"[a-z_]{3,}", bare)) - PIPELINE_WORDS - known):
                yield f"principal: {panel['title']}: no decision line has `{word}`"


def without_traces(scene):
    """Histograms beside which a Prometheus has no trace that decision lines have, too."""
    lines = [json.loads(line) for line in scene.log.read_text().splitlines() if line.startswith("{")]
    known = {line.get("trace_id") for line in lines}
    for series in ("mcp_server_operation_duration_seconds_bucket", "mcp_tool_duration_milliseconds_bucket"):
        if not known & {one["labels"]["trace_id"] for one in scene.exemplars(series)}:
            yield f"{series}: no exemplar with the trace of a call"


def main():
    problems, shown, values = [], 0, []
    with contextlib.ExitStack() as stack:
        scene = Scene(stack)
        faults(scene)
        asked = [(where, title, filled_in(query, "slow_report")) for where, title, query in metrics_panels()]
        for where, selected, label in variables():
            if not any(label in sample["metric"] for sample in scene.query(filled_in(selected, ""))):
                problems.append(f"{where}: nothing to choose from")
        for where, title, query in asked:
            found = scene.query(query)
            shown += bool(found)
            values += [f"{where}\n  {query}", *(f"  {sample['value'][1]:>12}  {sample['metric']}" for sample in found), ""]
            if not found:
                values[-1] = f"  no data: {NO_DATA.get(title, 'and nobody says why')}\n"
            if not found and title not in NO_DATA:
                problems.append(f"{where}: no data: {query}")
            if found and title in NO_DATA:
                problems.append(f"{where}: has data, take it out of NO_DATA")
            if found and all(sample["value"][1] == "NaN" for sample in found):
                problems.append(f"{where}: nothing but NaN: {query}")
        for name, expression in alerts():
            for series in series_named(expression):
                if not scene.query(series) and name not in NO_DATA:
                    problems.append(f"{name}: no series {series}")
        if missing := SPEAKS - spoken(scene):
            problems.append(f"the faults of this run did not bring up {', '.join(sorted(missing))}")
        problems += log_fields(scene)
        problems += without_traces(scene)
    VALUES.write_text("\n".join(values))
    if problems:
        sys.exit("\n".join(problems))
    print(f"queries: {len(asked)} of panels, {shown} with data; {len(SPEAKS)} alerts came up; {len(NO_DATA)} explained; the values are in {VALUES.relative_to(REPO)}")


started = time.monotonic()
main()
print(f"queries: {time.monotonic() - started:.0f} s")
