"""Sends one odd request after another and prints what each was answered with, as JSON.

No SDK would send most of these, so nothing else shows what becomes of them. Not for: saying what is right; the runner
compares the answers with and without the gate. Usage: probes.py URL; extra request headers as JSON in $HEADERS.
"""

import contextlib
import http.client
import json
import os
import sys
import time
import urllib.parse
from dataclasses import dataclass, field

ADDRESS = urllib.parse.urlsplit(sys.argv[1])
CREDENTIAL = json.loads(os.environ.get("HEADERS", "{}"))
DEADLINE = 10
BOTH, EVENTS, JSON = "application/json, text/event-stream", "text/event-stream", "application/json"
HANDSHAKE, STATELESS = "2025-11-25", "2026-07-28"
KEPT = ("content-type", "allow", "location", "www-authenticate", "cache-control", "x-accel-buffering")


@dataclass(frozen=True)
class Probe:
    """One request. A header of value None is left out; `stream` says that the answer may not end by itself."""

    name: str
    body: str | None = None
    headers: dict = field(default_factory=dict)
    verb: str = "POST"
    path: str = ADDRESS.path
    stream: bool = False


def message(method, params=None, id=1):
    """A request as JSON text; a notification if `id` is None."""
    given = {"jsonrpc": "2.0", "id": id, "method": method, "params": params}
    return json.dumps({name: value for name, value in given.items() if value is not None})


def initialize(version=HANDSHAKE, name="probe"):
    client = {"name": name, "version": "1"}
    return message("initialize", {"protocolVersion": version, "capabilities": {}, "clientInfo": client})


def envelope(version=STATELESS):
    prefix = "io.modelcontextprotocol/"
    client = {"name": "probe", "version": "1"}
    return {f"{prefix}protocolVersion": version, f"{prefix}clientInfo": client, f"{prefix}clientCapabilities": {}}


def mirrored(method, name=None, version=STATELESS):
    return {"MCP-Protocol-Version": version, "Mcp-Method": method, "Mcp-Name": name}


def stateless(name, method, target=None, headers=None, version=STATELESS, **params):
    """A request of 2026-07-28, right in all but what `headers` and `version` change."""
    id = None if method.startswith("notifications/") else 1
    named = {"name": target, "arguments": {}} if target else {}
    body = message(method, {**named, **params, "_meta": envelope(version)}, id)
    return Probe(name, body, {**mirrored(method, target), **(headers or {})})


def in_session(session):
    """Requests of a session, in the order in which they are to be sent; the last ones end it."""
    bare = {"Mcp-Session-Id": session}
    known = {**bare, "MCP-Protocol-Version": HANDSHAKE}
    ping = message("ping")
    listening = {**known, "Accept": EVENTS}
    return [
        Probe("session: initialized", message("notifications/initialized", id=None), known),
        Probe("session: tools/list", message("tools/list"), known),
        Probe("session: ping", ping, known),
        Probe("session: unknown method", message("nope/nope"), known),
        Probe("session: unknown notification", message("notifications/nope", id=None), known),
        Probe("session: unknown tool", message("tools/call", {"name": "no_such_tool", "arguments": {}}), known),
        Probe("session: id as a string", message("ping", id="s-1"), known),
        Probe("session: id of 0", message("ping", id=0), known),
        Probe("session: an answer to nothing", '{"jsonrpc":"2.0","id":999,"result":{}}', known),
        Probe("session: no version header", ping, bare),
        Probe("session: version header 1999-01-01", ping, {**bare, "MCP-Protocol-Version": "1999-01-01"}),
        Probe("session: version header of before", ping, {**bare, "MCP-Protocol-Version": "2025-03-26"}),
        Probe("session: batch", f"[{message('ping', id=1)}, {message('ping', id=2)}]", known),
        Probe("session: text/plain", ping, {**known, "Content-Type": "text/plain"}),
        Probe("session: Accept json only", ping, {**known, "Accept": JSON}),
        Probe("session: GET", None, listening, "GET", stream=True),
        Probe("session: GET again", None, listening, "GET", stream=True),
        Probe("session: GET, Accept json", None, {**known, "Accept": JSON}, "GET", stream=True),
        Probe("session: DELETE", None, known, "DELETE"),
        Probe("session: after DELETE", ping, known),
        Probe("session: GET after DELETE", None, listening, "GET", stream=True),
        Probe("session: DELETE again", None, known, "DELETE"),
    ]


def sessionless():
    """Requests that name no session, or none that there is."""
    version = {"MCP-Protocol-Version": HANDSHAKE}
    unknown = {**version, "Mcp-Session-Id": "deadbeefdeadbeefdeadbeefdeadbeef"}
    return [
        Probe("no session id", message("tools/list"), version),
        Probe("unknown session id", message("tools/list"), unknown),
        Probe("GET, no session", None, {"Accept": EVENTS}, "GET", stream=True),
        Probe("GET, unknown session", None, {**unknown, "Accept": EVENTS}, "GET", stream=True),
        Probe("DELETE, no session", None, {}, "DELETE"),
        Probe("DELETE, unknown session", None, unknown, "DELETE"),
        Probe("PUT", "{}", {}, "PUT"),
        Probe("HEAD", None, {}, "HEAD"),
        Probe("OPTIONS", None, {"Access-Control-Request-Method": "POST"}, "OPTIONS"),
    ]


def handshakes():
    """`initialize`, with one thing about it odd at a time."""
    hello = initialize()
    return [
        Probe("initialize: no Accept", hello, {"Accept": None}),
        Probe("initialize: Accept json only", hello, {"Accept": JSON}),
        Probe("initialize: Accept events only", hello, {"Accept": EVENTS}),
        Probe("initialize: Accept */*", hello, {"Accept": "*/*"}),
        Probe("initialize: text/plain", hello, {"Content-Type": "text/plain"}),
        Probe("initialize: json with charset", hello, {"Content-Type": "application/json; charset=utf-8"}),
        Probe("initialize: no content type", hello, {"Content-Type": None}),
        Probe("initialize: malformed JSON", "{not json"),
        Probe("initialize: empty body", ""),
        Probe("initialize: a JSON string", '"hi"'),
        Probe("initialize: not JSON-RPC", '{"hello": 1}'),
        Probe("initialize: version 1999-01-01", initialize("1999-01-01")),
        Probe("initialize: version 2024-11-05", initialize("2024-11-05")),
        Probe("initialize: version 2025-06-18", initialize("2025-06-18")),
        Probe("initialize: version 2026-07-28", initialize(STATELESS)),
        Probe("initialize: no params", message("initialize")),
        Probe("initialize: Host evil.example", hello, {"Host": "evil.example"}),
        Probe("initialize: Origin evil.example", hello, {"Origin": "http://evil.example"}),
        Probe("initialize: Origin of its own", hello, {"Origin": f"http://{ADDRESS.netloc}"}),
        Probe("initialize: no credential", hello, dict.fromkeys(CREDENTIAL)),
        Probe("initialize: 900 KB", initialize(name="x" * 900_000)),
        Probe("initialize: 5 MB", initialize(name="x" * 5_000_000)),
        Probe("path /mcp/", hello, path=ADDRESS.path + "/"),
        Probe("path /nope", hello, path="/nope"),
        Probe("path /mcp?a=b", hello, path=ADDRESS.path + "?a=b"),
    ]


def requests_of_2026():
    """The stateless era, right and wrong."""
    listed, absent = "tools/list", {"MCP-Protocol-Version": None, "Mcp-Method": None}
    other = {"MCP-Protocol-Version": STATELESS, "Accept": EVENTS}
    filters = {"notifications": {"toolsListChanged": True}}
    hello = {"protocolVersion": STATELESS, "capabilities": {}, "clientInfo": {"name": "probe", "version": "1"}}
    return [
        stateless("stateless: server/discover", "server/discover"),
        stateless("stateless: tools/list", listed),
        stateless("stateless: resources/list", "resources/list"),
        stateless("stateless: unknown tool", "tools/call", "no_such_tool"),
        stateless("stateless: unknown method", "nope/nope"),
        stateless("stateless: Mcp-Name differs", "tools/call", "no_such_tool", {"Mcp-Name": "other"}),
        stateless("stateless: Mcp-Name absent", "tools/call", "no_such_tool", {"Mcp-Name": None}),
        stateless("stateless: Mcp-Method differs", listed, None, {"Mcp-Method": "prompts/list"}),
        stateless("stateless: Mcp-Method absent", listed, None, {"Mcp-Method": None}),
        stateless("stateless: version header absent", listed, None, {"MCP-Protocol-Version": None}),
        stateless("stateless: all mirrored headers absent", listed, None, absent),
        stateless("stateless: version header differs", listed, version=HANDSHAKE),
        stateless("stateless: version 2099-01-01", listed, None, mirrored(listed, version="2099-01-01"), "2099-01-01"),
        Probe("stateless: no _meta", message(listed, {}), mirrored(listed)),
        Probe("stateless: no params", message(listed), mirrored(listed)),
        stateless("stateless: removed method ping", "ping"),
        stateless("stateless: removed method initialize", "initialize", **hello),
        stateless("stateless: a session id", listed, None, {"Mcp-Session-Id": "x"}),
        stateless("stateless: Accept json only", listed, None, {"Accept": JSON}),
        stateless("stateless: Accept */*", listed, None, {"Accept": "*/*"}),
        stateless("stateless: text/plain", listed, None, {"Content-Type": "text/plain"}),
        stateless("stateless: notification", "notifications/cancelled", requestId=1),
        Probe("stateless: batch", f"[{message(listed, {'_meta': envelope()})}]", mirrored(listed)),
        Probe("stateless: GET", None, other, "GET", stream=True),
        Probe("stateless: DELETE", None, other, "DELETE"),
        stateless("stateless: subscriptions/listen", "subscriptions/listen", **filters),
    ]


def ask(probe):
    """Sends it; gives the response and the session id in it, if any."""
    headers = {"Host": ADDRESS.netloc, "Accept": BOTH, "Content-Type": JSON if probe.body is not None else None}
    headers |= {**CREDENTIAL, **probe.headers}
    connection = http.client.HTTPConnection(ADDRESS.hostname, ADDRESS.port, timeout=DEADLINE)
    connection.putrequest(probe.verb, probe.path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        if value is not None:
            connection.putheader(name, value)
    body = None if probe.body is None else probe.body.encode()
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    try:
        with contextlib.suppress(OSError):  # whoever refuses a long body may answer before the end of it
            connection.endheaders(body)
        response = connection.getresponse()
        seen = {"status": response.status, "session": bool(response.getheader("mcp-session-id"))}
        seen |= {name: value for name in KEPT if (value := response.getheader(name))}
        return {**seen, **answer(probe, response)}, response.getheader("mcp-session-id")
    except (OSError, http.client.HTTPException) as error:
        return {"status": "none", "error": type(error).__name__}, None
    finally:
        connection.close()


def answer(probe, response):
    """What a reply says: all of it, but of a stream only what comes before and with the first message."""
    if not response.getheader("content-type", "").startswith(EVENTS):
        return readable(response.read())
    if probe.stream:
        return {}
    for line in iter(response.readline, b""):
        if line.startswith(b"data:") and line[5:].strip():
            return readable(line[5:])
    return {"text": "the stream ended"}


def readable(data):
    text = data.decode(errors="replace")
    try:
        return {"message": json.loads(text)}
    except ValueError:
        return {"text": text} if text else {}


def settled(probe):
    """The answer once the server has seen that the stream before this one is closed."""
    deadline = time.monotonic() + DEADLINE
    while True:
        answer, _ = ask(probe)
        if answer["status"] != 409 or time.monotonic() > deadline:
            return answer


def main():
    hello, session = ask(Probe("initialize", initialize()))
    answers = {"initialize": hello}
    for probe in [*in_session(session), *sessionless(), *handshakes(), *requests_of_2026()]:
        answers[probe.name] = settled(probe) if probe.stream else ask(probe)[0]
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
