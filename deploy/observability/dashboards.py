#!/usr/bin/env python3
"""Writes the Grafana dashboards in dashboards/. What a panel asks and says stands here; its place and form are worked out.

    deploy/observability/dashboards.py           writes them
    deploy/observability/dashboards.py --check   says whether they are as this file has them
"""

import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).parent / "dashboards"
PROMETHEUS = {"type": "prometheus", "uid": "${prometheus}"}
LOKI = {"type": "loki", "uid": "${loki}"}
TEMPO = {"type": "tempo", "uid": "${tempo}"}
# Which gates: every query of metrics begins with these two.
GATES = 'job=~"$job", instance=~"$instance"'
# Decision lines; other lines of the gate have no outcome.
LINES = '{service_name="tollgate"} | json | outcome != ""'
DENIED = 'outcome="denied"'
REFUSED = 'outcome=~"denied|limited"'
FAILED = 'outcome=~"timeout|upstream_error|unrecorded"'


def panel(title, description, queries, *, unit="short", kind="timeseries", width=8, height=8, source=PROMETHEUS):
    """A panel of `queries`: pairs of what to ask and how to call it."""
    instant = kind in ("stat", "table") and source is not TEMPO
    targets = []
    for index, (query, legend) in enumerate(queries):
        target = {"refId": chr(ord("A") + index), "datasource": source}
        if source is TEMPO:
            target |= {"query": query, "queryType": "traceql", "limit": 50, "tableType": "spans"}
        else:
            target |= {"expr": query, "legendFormat": legend, "instant": instant, "range": not instant}
            if "_bucket" in query:
                target["exemplar"] = True
        if kind == "table" and source is PROMETHEUS:
            target["format"] = "table"
        targets.append(target)
    defaults = {"unit": unit}
    options = {}
    if kind == "timeseries":
        defaults["custom"] = {"fillOpacity": 10, "showPoints": "never", "stacking": {"mode": "none"}}
        options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    elif kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "textMode": "auto"}
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": source,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "gridPos": {"w": width, "h": height},
    }


def laid_out(panels):
    """Left to right, a new row where one does not fit."""
    x = y = tallest = 0
    for number, each in enumerate(panels, 1):
        place = each["gridPos"]
        if x + place["w"] > 24:
            x, y, tallest = 0, y + tallest, 0
        place |= {"x": x, "y": y}
        x, tallest = x + place["w"], max(tallest, place["h"])
        each["id"] = number
    return panels


def datasource(kind):
    return {"type": "datasource", "name": kind, "label": kind.capitalize(), "query": kind, "current": {}, "hide": 0}


def choice(name, query, *, several=True):
    return {
        "type": "query",
        "name": name,
        "label": name.capitalize(),
        "datasource": PROMETHEUS,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
        "allValue": ".+" if several else None,
        "current": {"text": "All", "value": "$__all"} if several else {},
    }


def dashboard(name, title, description, panels, variables=(), sources=("prometheus",)):
    gates = [
        choice("job", "label_values(tollgate_policy_info, job)"),
        choice("instance", 'label_values(tollgate_policy_info{job=~"$job"}, instance)'),
    ]
    return {
        "uid": f"tollgate-{name}",
        "title": f"Tollgate / {title}",
        "description": description,
        "tags": ["tollgate", "mcp"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "title": "Tollgate", "tags": ["tollgate"], "asDropdown": True, "keepTime": True, "includeVars": True}],
        "annotations": {
            "list": [
                {
                    "name": "A policy came into force",
                    "datasource": PROMETHEUS,
                    "enable": True,
                    "iconColor": "blue",
                    "expr": 'changes(tollgate_policy_reloads_total{result="ok"}[1m]) > 0',
                    "titleFormat": "policy of {{instance}}",
                }
            ]
        }
        if "prometheus" in sources
        else {"list": []},
        "templating": {"list": [*map(datasource, sources), *(gates if "prometheus" in sources else []), *variables]},
        "panels": laid_out(panels),
    }


def rate(metric, labels="", by=""):
    matchers = ", ".join(filter(None, (GATES, labels)))
    return f"sum by ({by}) (rate({metric}{{{matchers}}}[$__rate_interval]))"


def quantiles(metric, labels=""):
    return [
        (f"histogram_quantile({q}, {rate(f'{metric}_bucket', labels, 'le')})", f"p{q * 100:g}") for q in (0.5, 0.95, 0.99)
    ]


def mean(metric, labels=""):
    return f"{rate(f'{metric}_sum', labels)} / {rate(f'{metric}_count', labels)}"


def share(labels):
    return f"({rate('tollgate_decisions_total', labels)} or vector(0)) / {rate('tollgate_decisions_total')}"


def gauge(metric, how="sum", by="", labels=""):
    matchers = ", ".join(filter(None, (GATES, labels)))
    return f"{how} by ({by}) ({metric}{{{matchers}}})"


def overview():
    server = 'server=~"$server"'
    calls = 'mcp_method_name="tools/call"'
    return dashboard(
        "overview",
        "Overview",
        "How much passes, what becomes of it, and how long it takes.",
        [
            panel("Messages", "Messages that ended, a second.", [(rate("tollgate_decisions_total"), "messages")], unit="reqps", kind="stat", width=4, height=4),
            panel("Refused", "Share of messages that were denied or limited.", [(share(REFUSED), "refused")], unit="percentunit", kind="stat", width=4, height=4),
            panel("Failed", "Share of messages that timed out, found no server, or could not be recorded.", [(share(FAILED), "failed")], unit="percentunit", kind="stat", width=4, height=4),
            panel("Under way", "Messages that have not ended.", [(gauge("tollgate_exchanges_in_flight"), "under way")], kind="stat", width=4, height=4),
            panel("Sessions", "Sessions of clients up to 2025-11-25.", [(gauge("tollgate_sessions"), "sessions")], kind="stat", width=4, height=4),
            panel("Stopped", "Kills in force, counted at each gate.", [(gauge("tollgate_kill_switch_active"), "kills")], kind="stat", width=4, height=4),
            panel("Messages by outcome", "A second, by how they ended.", [(rate("tollgate_decisions_total", server, "outcome"), "{{outcome}}")], unit="reqps", width=12),
            panel("Tool calls by tool", "A second; the ten most used. A tool that no rule names is `_other`.", [(f"topk(10, {rate('mcp_tool_calls_total', server, 'tool_name')})", "{{tool_name}}")], unit="reqps", width=12),
            panel("How long tool calls take", "From the receipt of a call to the end of its answer.", quantiles("mcp_tool_duration_milliseconds", server), unit="ms"),
            panel("Where the time goes", "Mean time of a tool call, as its caller sees it, and of it the server's part.", [(mean("mcp_server_operation_duration_seconds", calls), "in all"), (mean("mcp_client_operation_duration_seconds", calls), "at the server")], unit="s"),
            panel("Failures by tool", "Tool calls that were refused or failed, a second.", [(rate("mcp_tool_errors_total", server, "tool_name, outcome"), "{{tool_name}} {{outcome}}")], unit="reqps"),
            panel("Tokens of replies", "What models get to read, a second; estimated, four bytes are one.", [(f"topk(10, {rate('tollgate_reply_tokens_total', server, 'method, tool_name')})", "{{method}} {{tool_name}}")]),
            panel("Deadlines that were over", "A second, by which.", [(rate("tollgate_decisions_total", 'timeout_kind!=""', "timeout_kind"), "{{timeout_kind}}")], unit="reqps"),
            panel("Answers given again", "Calls of tools with a cache, a second, by tool: `hit` is one that the server was not asked.", [(rate("tollgate_cache_calls_total", server, "tool_name, result"), "{{tool_name}} {{result}}")], unit="reqps"),
            panel("Of no server", "Messages a second that a view answered itself, or whose path is nobody's, by method and how they ended.", [(rate("tollgate_decisions_total", 'server="_none"', "method, outcome"), "{{method}} {{outcome}}")], unit="reqps"),
            panel("Circuit to the server", "1 for the state that each of its URLs is in.", [(gauge("tollgate_upstream_circuit", "max", "instance, server, endpoint, state", server), "{{instance}} {{server}} {{endpoint}} {{state}}")]),
        ],
        [choice("server", "label_values(tollgate_decisions_total, server)")],
    )


def tool():
    one = 'tool_name="$tool"'
    named = 'gen_ai_tool_name="$tool"'
    return dashboard(
        "tool",
        "One tool",
        "What becomes of the calls of one tool, how long they take and how much they return.",
        [
            panel("Calls by outcome", "A second, by how they ended.", [(rate("mcp_tool_calls_total", one, "outcome"), "{{outcome}}")], unit="reqps", width=12),
            panel("How long they take", "From the receipt of a call to the end of its answer.", quantiles("mcp_tool_duration_milliseconds", one), unit="ms", width=12),
            panel("Where the time goes", "Mean time in all, and of it the server's part.", [(mean("mcp_server_operation_duration_seconds", named), "in all"), (mean("mcp_client_operation_duration_seconds", named), "at the server")], unit="s"),
            panel("Size of results", "As callers got them.", quantiles("tollgate_reply_size_bytes", one), unit="bytes"),
            panel("Tokens of a result", "Mean; estimated, four bytes are one.", [(f"{rate('tollgate_reply_tokens_total', one)} / {rate('tollgate_reply_size_bytes_count', one)}", "tokens")]),
            panel("Errors", "Of the conventions' `error.type`, a second.", [(rate("mcp_server_operation_duration_seconds_count", f'{named}, error_type!=""', "error_type"), "{{error_type}}")], unit="reqps"),
            panel("Rules that decided", "For the whole server, a second: rules have no label of a tool, as most name theirs.", [(f"topk(15, {rate('tollgate_rule_decisions_total', '', 'rule, outcome')})", "{{outcome}} {{rule}}")], unit="reqps", width=16),
        ],
        [choice("tool", "label_values(mcp_tool_calls_total, tool_name)", several=False)],
    )


def principal():
    own = f'{LINES} | principal="$principal"'
    counted = "[$__auto]"
    return dashboard(
        "principal",
        "One principal",
        "Who does what: from decision lines and spans, since a principal is no label of metrics.",
        [
            panel("Messages by outcome", "A second, by how they ended.", [(f"sum by (outcome) (rate({own} {counted}))", "{{outcome}}")], unit="reqps", width=12, source=LOKI),
            panel("Calls by tool", "A second.", [(f'sum by (tool) (rate({own} | tool != "" {counted}))', "{{tool}}")], unit="reqps", width=12, source=LOKI),
            panel("How long they take", "The slowest of twenty, by method.", [(f"quantile_over_time(0.95, {own} | unwrap duration_ms {counted}) by (method)", "{{method}}")], unit="ms", width=12, source=LOKI),
            panel("Why the gate said no", "Refusals by their reason and the rule, a second.", [(f'sum by (refused, rule) (rate({own} | refused != "" {counted}))', "{{refused}} {{rule}}")], unit="reqps", width=12, source=LOKI),
            panel("Its last decisions", "`trace_id` leads to the trace, `decision` to the audit log.", [(own, "")], kind="logs", width=24, source=LOKI),
            panel("Its refused and failed calls", "Traces, which keep all of these and a share of the rest.", [('{ span.tollgate.principal = "$principal" && span.tollgate.outcome != "ok" }', "")], kind="table", width=24, source=TEMPO),
            panel("Who calls", "Messages in the time shown, the twenty who sent most.", [(f'topk(20, sum by (principal) (count_over_time({LINES} [$__range])))', "{{principal}}")], kind="table", width=24, source=LOKI),
        ],
        [{"type": "textbox", "name": "principal", "label": "Principal", "query": "", "current": {"text": "", "value": ""}, "options": []}],
        ("loki", "tempo"),
    )


def security():
    return dashboard(
        "security",
        "Security",
        "Who and what is kept out, and by what.",
        [
            panel("Denied", "Messages a second that no rule grants.", [(f"{rate('tollgate_decisions_total', DENIED)} or vector(0)", "denied")], unit="reqps", kind="stat", width=6, height=4),
            panel("Nobody's", "Requests a second that prove nobody.", [(f"{rate('tollgate_authentication_failures_total')} or vector(0)", "nobody's")], unit="reqps", kind="stat", width=6, height=4),
            panel("Stopped", "Kills in force.", [(gauge("tollgate_kill_switch_active"), "kills")], kind="stat", width=6, height=4),
            panel("Not recorded", "Records of the audit log that were lost in the time shown.", [(f"sum(increase(tollgate_audit_dropped_total{{{GATES}}}[$__range]))", "lost")], kind="stat", width=6, height=4),
            panel("Refusals by rule", "A second. `default`: nothing granted it.", [(f"topk(15, {rate('tollgate_rule_decisions_total', REFUSED, 'rule, outcome')})", "{{outcome}} {{rule}}")], unit="reqps", width=12),
            panel("What is tried out would refuse", "Rules in shadow: a second, by rule.", [(rate("tollgate_rule_decisions_total", 'outcome="would_deny"', "rule"), "{{rule}}")], unit="reqps", width=12),
            panel("Blocked tools", "Refused calls a second. A tool that no rule names is `_other`; decision lines have its name.", [(rate("mcp_tool_errors_total", REFUSED, "tool_name, outcome"), "{{tool_name}} {{outcome}}")], unit="reqps", width=12),
            panel("Requests of nobody", "A second, by what was wrong.", [(rate("tollgate_authentication_failures_total", "", "reason"), "{{reason}}")], unit="reqps", width=12),
            panel("Not one unambiguous message", "Refused before anybody asked who sent it, a second.", [(rate("tollgate_decisions_total", 'outcome="invalid"', "method"), "{{method}}")], unit="reqps"),
            panel("Kill switch", "What is stopped, by what it names; and whether its file can be taken.", [(gauge("tollgate_kill_switch_active", "sum", "instance, scope"), "{{instance}} {{scope}}"), (gauge("tollgate_kill_switch_stale", "max", "instance"), "{{instance}} stale")]),
            panel("What was found that is not for everyone", "Messages a second, by detector or pattern and what came of it (`redact`).", [(rate("tollgate_redactions_total", "", "detector, action"), "{{action}} {{detector}}")], unit="reqps", width=12),
            panel("Where it was found", "Messages a second, by tool, in arguments or in results.", [(rate("tollgate_redactions_total", "", "server, tool_name, in"), "{{server}} {{tool_name}} {{in}}")], unit="reqps", width=12),
            panel("Questions that did not reach clients", "What servers asked without leave, a second.", [(rate("tollgate_questions_declined_total", "", "server, method"), "{{server}} {{method}}")], unit="reqps"),
            panel("TLS handshakes", "A second, by how they ended.", [(rate("tollgate_tls_handshakes_total", "", "result"), "{{result}}")], unit="reqps"),
            panel("Audit records", "Written, a second.", [(rate("tollgate_audit_records_total", "", "instance"), "{{instance}}")], unit="wps"),
            panel("Copies of the audit log", "Lines that a collector was to get, in the time shown, by what became of them; the log itself has all.", [(f"sum by (instance, result) (increase(tollgate_audit_copies_total{{{GATES}}}[$__range]))", "{{instance}} {{result}}")]),
            panel("Audit records that wait", "How many, and for how long the oldest.", [(gauge("tollgate_audit_queue", "sum", "instance"), "{{instance}} waiting"), (gauge("tollgate_audit_lag_seconds", "max", "instance"), "{{instance}} s")]),
        ],
    )


def gate():
    return dashboard(
        "gate",
        "The gate itself",
        "What the processes use, which policies they have, and what they depend on.",
        [
            panel("Gates", "That can be scraped.", [(f"count(tollgate_policy_info{{{GATES}}})", "gates")], kind="stat", width=6, height=4),
            panel("Policies in force", "More than one, for longer than a rollout takes, is a fault.", [(f"count(count by (digest) (tollgate_policy_info{{{GATES}}}))", "policies")], kind="stat", width=6, height=4),
            panel("Age of the policy", "Since the latest came into force.", [(f"min(tollgate_policy_age_seconds{{{GATES}}})", "age")], unit="s", kind="stat", width=6, height=4),
            panel("Next credential to end", "Keys, certificates and tokens of ours.", [(f"min(tollgate_credential_time_left_seconds{{{GATES}}})", "left")], unit="s", kind="stat", width=6, height=4),
            panel("CPU", "Cores in use.", [(rate("process_cpu_time_seconds_total", "", "instance, cpu_mode"), "{{instance}} {{cpu_mode}}")]),
            panel("Memory", "Resident.", [(gauge("process_memory_usage_bytes", "max", "instance"), "{{instance}}")], unit="bytes"),
            panel("Memory of what there may be", "From nine tenths on fewer calls are let in, until less than eight are used; and whether that is so.", [(f"tollgate_memory_used_bytes{{{GATES}}} / on (job, instance) tollgate_memory_limit_bytes{{{GATES}}}", "{{instance}}"), (gauge("tollgate_memory_short", "max", "instance"), "{{instance}} short")], unit="percentunit"),
            panel("File descriptors", "Share of what may be open.", [(f"process_unix_file_descriptor_count{{{GATES}}} / on (job, instance) tollgate_process_file_descriptor_limit{{{GATES}}}", "{{instance}}")], unit="percentunit"),
            panel("Under way", "Messages and open streams.", [(gauge("tollgate_exchanges_in_flight", "sum", "instance"), "{{instance}} messages"), (gauge("tollgate_streams", "sum", "instance"), "{{instance}} streams")]),
            panel("Connections to servers", "Open, in use or kept.", [(gauge("tollgate_upstream_connections", "sum", "instance, server"), "{{instance}} {{server}}")]),
            panel("Connections begun", "A second. Many with few open: the server does not keep them.", [(rate("tollgate_upstream_connects_total", "", "server, result"), "{{server}} {{result}}")], unit="reqps"),
            panel("Calls at each URL", "Under way there, streams without an end apart.", [(gauge("tollgate_upstream_in_flight", "sum", "server, endpoint"), "{{server}} {{endpoint}}")]),
            panel("Calls sent again", "A second, by why; and those that were not, because too many were.", [(rate("tollgate_upstream_retries_total", "", "server, reason"), "{{server}} {{reason}}"), (f"{rate('tollgate_upstream_retries_exhausted_total')} or vector(0)", "not sent again")], unit="reqps"),
            panel("Connections of clients that failed", "A second: ended by a deadline, or for which the system had no room.", [(f"{rate('tollgate_connections_timed_out_total')} or vector(0)", "too slow"), (f"{rate('tollgate_accept_failures_total')} or vector(0)", "no room")], unit="reqps"),
            panel("Memory of answers", "That are given again, and how many there are.", [(gauge("tollgate_cache_size_bytes", "sum", "instance"), "{{instance}} bytes"), (gauge("tollgate_cache_answers", "sum", "instance"), "{{instance}} answers")]),
            panel("Policies read", "Changes in the time shown, by what became of them.", [(f"sum by (instance, result) (increase(tollgate_policy_reloads_total{{{GATES}}}[$__range]))", "{{instance}} {{result}}")]),
            panel("Limits store", "Calls that limits are on, by whether it was asked; and whether it is left alone.", [(rate("tollgate_limits_store_calls_total", "", "result"), "{{result}}"), (gauge("tollgate_limits_store_circuit_open", "max", "instance"), "{{instance}} left alone"), (gauge("tollgate_limits_store_replicas", "max", "instance"), "{{instance}} gates known")]),
            panel("Keys of token issuers", "Since when they are known.", [(gauge("tollgate_issuer_keys_age_seconds", "max", "instance, issuer"), "{{instance}} {{issuer}}")], unit="s"),
            panel("Lines lost", "In the time shown: whoever reads the output is too slow.", [(f"sum by (instance, log) (increase(tollgate_log_dropped_total{{{GATES}}}[$__range]))", "{{instance}} {{log}}")]),
            panel("Configuration not in force", "1 while tollgate.yaml is not what the gate runs on: it counts after a restart.", [(gauge("tollgate_config_stale", "max", "instance"), "{{instance}}")]),
            panel("Spans", "Queued for the collector in the time shown; those with `queue_full` found no room and are lost.", [(f"sum by (instance, error_type) (increase(otel_sdk_processor_span_processed_total{{{GATES}}}[$__range]))", "{{instance}} {{error_type}}")]),
            panel("Threads", "Of the process.", [(gauge("process_thread_count", "max", "instance"), "{{instance}}")]),
            panel("Up since", "Seconds since the start.", [(gauge("process_uptime_seconds", "min", "instance"), "{{instance}}")], unit="s"),
        ],
    )


def main():
    stale = []
    FOLDER.mkdir(exist_ok=True)
    for one in (overview(), tool(), principal(), security(), gate()):
        path = FOLDER / f"{one['uid'].removeprefix('tollgate-')}.json"
        text = json.dumps(one, indent=2) + "\n"
        if "--check" in sys.argv:
            if not path.exists() or path.read_text() != text:
                stale.append(path.name)
        else:
            path.write_text(text)
    if stale:
        sys.exit(f"not as dashboards.py has them: {', '.join(stale)}; run it")


main()
