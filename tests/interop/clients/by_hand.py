"""HTTP by hand, for the clients that must see every byte: one connection for each request, and a record.

Not for: what is asked; see raw.py and streaming.py.
"""

import http.client
import json
import os
import sys
import urllib.parse

ADDRESS = urllib.parse.urlsplit(sys.argv[1])
DEADLINE = 10
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Raw:
    """One client, its session, and the record of what it received."""

    def __init__(self):
        self.session = {}
        self.steps = []
        self.last_id = 0

    def record(self, step, *seen):
        self.steps.append({"step": step, "seen": seen})

    def open(self, verb, body=None, **headers):
        connection = http.client.HTTPConnection(ADDRESS.hostname, ADDRESS.port, timeout=DEADLINE)
        defaults = {"Accept": "application/json, text/event-stream", **json.loads(os.environ.get("HEADERS", "{}"))}
        if body is not None:
            defaults["Content-Type"] = "application/json"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(verb, ADDRESS.path, body, {**defaults, **self.session, **named})
        return connection, connection.getresponse()

    def post(self, method, params=None, **headers):
        message = {"jsonrpc": "2.0", "method": method, "params": params or {}}
        if not method.startswith("notifications/"):
            self.last_id += 1
            message["id"] = self.last_id
        return self.open("POST", json.dumps(message), **headers)

    def call(self, tool, arguments=None, meta=None, **headers):
        params = {"name": tool, "arguments": arguments or {}, **({"_meta": meta} if meta else {})}
        return self.post("tools/call", params, **headers)

    def whole(self, step, exchange):
        connection, response = exchange
        body = response.read().decode()
        self.record(step, response.status, response.getheader("content-type"), body)
        connection.close()
        return response, body


def part(response):
    """The next event or comment, with its blank line, byte for byte."""
    lines = []
    while not lines or lines[-1].strip():
        lines.append(response.readline())
        if not lines[-1]:
            raise EOFError(f"the stream ended in {lines}")
    return b"".join(lines).decode()


def handshake(raw):
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
    response, _ = raw.whole("initialize", raw.post("initialize", hello))
    raw.session = {"Mcp-Session-Id": response.getheader("Mcp-Session-Id"), "MCP-Protocol-Version": "2025-11-25"}
    raw.whole("initialized", raw.post("notifications/initialized"))


def tell(*chapters):
    """Runs the chapters, each with what the ones before have left, and prints the record."""
    raw, broken = Raw(), []
    for chapter in chapters:
        try:
            chapter(raw)
        except (OSError, EOFError, http.client.HTTPException) as error:
            broken.append(f"{chapter.__name__}: {type(error).__name__}: {error}")
    print(json.dumps({"steps": raw.steps, "broken": broken}))
