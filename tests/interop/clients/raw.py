"""Talks to the scripted server by hand and prints every byte that came back, as JSON.

Each event of a stream is asked for only after the one before was seen, so a gate that holds back a part of a reply
runs into the deadline. Usage: raw.py URL, extra request headers as JSON in $HEADERS.
"""

import hashlib
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
        self.ids = iter(range(1, 1000))

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
            message["id"] = next(self.ids)
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


def streamed_reply(raw):
    parts = 6
    connection, stream = raw.call("drip", {"parts": parts}, {"progressToken": "t"})
    raw.record("drip", stream.status, stream.getheader("content-type"), stream.getheader("cache-control"))
    for number in range(1, parts + 1):
        raw.record(f"part {number}", part(stream))
        raw.whole(f"acknowledge {number}", raw.call("acknowledge", {"part": number}))
        raw.record(f"comment {number}", part(stream))
    raw.record("rest", stream.read().decode())
    connection.close()


def whole_replies(raw):
    raw.whole("list", raw.post("tools/list"))
    raw.whole("numbers", raw.call("numbers"))
    _, response = raw.call("large", {"bytes": 1 << 20})
    body = response.read()
    raw.record("large", response.status, len(body), hashlib.sha256(body).hexdigest())


def listening(raw):
    first, stream = raw.open("GET", Accept="text/event-stream")
    raw.record("GET", stream.status, part(stream), part(stream))
    raw.whole("say one", raw.call("say", {"text": "one"}))
    raw.record("heard", part(stream))
    raw.whole("second GET beside it", raw.open("GET", Accept="text/event-stream"))
    stream.close()
    first.close()
    raw.whole("the server saw it close", raw.call("hush"))
    raw.whole("say two", raw.call("say", {"text": "two"}))
    second, stream = raw.open("GET", Accept="text/event-stream", Last_Event_ID="1")
    raw.record("GET again", stream.status, part(stream), part(stream), part(stream))
    stream.close()
    second.close()
    raw.whole("closed again", raw.call("hush"))


def goodbye(raw):
    raw.whole("DELETE", raw.open("DELETE"))
    connection, response = raw.call("numbers")  # who says that the session is gone, and how, may differ
    raw.record("after DELETE", response.status)
    connection.close()
    raw.session = {}


def hanging_up(raw):
    """In the stateless era a caller cancels by hanging up."""
    named = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": "tools/call"}
    connection, stream = raw.call("hold", meta=MODERN, Mcp_Name="hold", **named)
    raw.record("hold", stream.status, part(stream))
    stream.close()
    connection.close()
    raw.whole("held", raw.call("held", meta=MODERN, Mcp_Name="held", **named))


def main():
    raw, broken = Raw(), []
    for chapter in (handshake, streamed_reply, whole_replies, listening, goodbye, hanging_up):
        try:
            chapter(raw)
        except (OSError, EOFError, http.client.HTTPException) as error:
            broken.append(f"{chapter.__name__}: {type(error).__name__}: {error}")
    print(json.dumps({"steps": raw.steps, "broken": broken}))


if __name__ == "__main__":
    main()
