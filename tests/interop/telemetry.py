"""Checks what the gate tells an OpenTelemetry collector, and the server, about one traced call."""

import json
import queue
import secrets
import time
import urllib.request

from services import HERE, KEY, Failure

TOOL = "reflect"  # answers with the headers as they arrived
DEADLINE = 20


class Session:
    """A handshake-era session by hand, because no SDK lets its caller choose `_meta.traceparent`."""

    def __init__(self, address):
        self.address = address
        self.headers = {
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            "X-Api-Key": KEY,
        }
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "traced", "version": "1"}}
        reply, _ = self.post(id=1, method="initialize", params=hello)
        self.headers["Mcp-Session-Id"] = reply.headers["Mcp-Session-Id"]
        self.post(method="notifications/initialized")

    def post(self, **message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        request = urllib.request.Request(self.address, body, self.headers)
        with urllib.request.urlopen(request, timeout=DEADLINE) as reply:
            return reply, reply.read().decode()

    def traced_call(self, trace, parent):
        """Calls the tool as a part of the caller's trace; gives the `traceparent` that the server was shown."""
        meta = {"traceparent": f"00-{trace}-{parent}-01"}
        _, body = self.post(id=2, method="tools/call", params={"name": TOOL, "arguments": {}, "_meta": meta})
        return json.loads(json.loads(body)["result"]["content"][0]["text"])["traceparent"]


def arrivals(collector):
    """What the collector receives, until the deadline."""
    deadline = time.monotonic() + DEADLINE
    while (left := deadline - time.monotonic()) > 0:
        try:
            line = collector.stdout.get(timeout=left)
        except queue.Empty:
            return
        if line is None:
            return
        yield json.loads(line)


def expectations(trace, parent, shown):
    """What has to arrive, each with a test of one item."""
    call = {"mcp.method.name": "tools/call", "gen_ai.tool.name": TOOL}
    client_span = shown.split("-")[2]

    def has(item, attributes):
        return attributes.items() <= item["attributes"].items()

    def metric(name, attributes):
        return lambda item: item["name"] == name and has(item, attributes)

    return {
        "the SERVER span, a child of the caller's": lambda item: (
            (item["kind"], item["name"]) == ("SERVER", f"tools/call {TOOL}")
            and (item["trace"], item["parent"]) == (trace, parent)
            and has(item, call)
        ),
        "the CLIENT span, the one that the server was shown": lambda item: (
            item["kind"] == "CLIENT" and (item["trace"], item["span"]) == (trace, client_span)
        ),
        "mcp.server.operation.duration": metric("mcp.server.operation.duration", call),
        "mcp.tool.calls": metric("mcp.tool.calls", {"tool_name": TOOL, "outcome": "ok"}),
    }


def check(services, protocol):
    collector = services.start([services.runtimes["python 2"], HERE / "collector.py"])
    ports = json.loads(collector.line("grpc", collector.stdout).string)
    upstream = services.server("python 2", "scripted.py")
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{ports[protocol]}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    trace, parent = secrets.token_hex(16), secrets.token_hex(8)
    with services.gate("scripted", upstream, tools=TOOL, **settings) as gate:
        shown = Session(gate.address).traced_call(trace, parent)
        missing = expectations(trace, parent, shown)
        got, found = [], {}
        for item in arrivals(collector):
            got.append(json.dumps(item))
            for name in [name for name, fits in missing.items() if fits(item)]:
                del missing[name]
                found[name] = item
            if not missing:
                break
    if missing:
        raise Failure("\n".join(["the collector never got:", *missing, "but:", *dict.fromkeys(got)]))
    client, server = (item for name, item in sorted(found.items()) if "span" in name)
    if client["parent"] != server["span"]:
        raise Failure(f"the CLIENT span is no child of the SERVER span:\n{client}\n{server}")
