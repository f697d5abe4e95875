"""A server that sends exactly these bytes, each part only when its client has answered for the one before.

For what SDKs hide: event framing, buffering, streams that must close. It does the least of MCP that a gate needs to
believe it. Not for: showing how to write a server. Usage: scripted.py PORT
"""

import hashlib
import json
import select
import socket
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE = 10  # seconds until a wait is given up; nothing here waits for time to pass
NUMBERS = b'{"exact":12345678901234567890123, "spelt":1.0E+2,\n "escaped":"\\u00e9\\/", "b":1, "a":2}'
WELCOME = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "scripted", "version": "1"},
}
TOOLS = ("drip", "acknowledge", "numbers", "large", "say", "hush", "hold", "held", "reflect")


def event(number, message, ending=b"\n"):
    lines = [b": part %d" % number, b"event: message", b"id: part-%d" % number, b"data: " + message]
    return ending.join([*lines, b"", b""])


class State:
    """What the requests of one client have to know of each other."""

    def __init__(self):
        self.changed = threading.Condition()
        self.begin(None)

    def begin(self, session):
        """A new session starts with nothing said; there is one at a time."""
        self.session = session
        self.acknowledged = 0
        self.said = []
        self.listener = None  # the socket that wakes the one open GET
        self.holding = False

    def set(self, name, value):
        with self.changed:
            setattr(self, name, value)
            self.changed.notify_all()

    def wait(self, condition):
        with self.changed:
            return self.changed.wait_for(condition, PATIENCE)


STATE = State()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    # replies

    def whole(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def result(self, request, result, **headers):
        body = b'{"jsonrpc":"2.0","id":%s,"result":%s}' % (json.dumps(request["id"]).encode(), result)
        self.whole(200, body, Content_Type="application/json", **headers)

    def text(self, request, text):
        self.result(request, json.dumps({"content": [{"type": "text", "text": text}]}).encode())

    def open_stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def part(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def hung_up(self, wake=None):
        """Wait until the client hangs up (True) or somebody writes to `wake` (False)."""
        watched = [self.connection] + ([wake] if wake else [])
        ready, _, _ = select.select(watched, [], [], PATIENCE)
        if wake in ready:
            wake.recv(1)
            return False
        return True

    # requests

    def in_session(self):
        return STATE.session and self.headers.get("Mcp-Session-Id") == STATE.session

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method, params = request["method"], request.get("params", {})
        modern = self.headers.get("MCP-Protocol-Version") == "2026-07-28"
        if method == "initialize":
            session = str(uuid.uuid4())
            STATE.begin(session)
            self.result(request, json.dumps(WELCOME).encode(), Mcp_Session_Id=session)
        elif not modern and not self.in_session():
            self.whole(404)
        elif "id" not in request:
            self.whole(202)
        elif method == "tools/list":
            self.list(request)
        else:
            getattr(self, params["name"])(request, params.get("arguments", {}))

    def do_GET(self):
        if not self.in_session():
            return self.whole(404)
        with STATE.changed:
            if STATE.listener:
                return self.whole(409)
            wake, STATE.listener = socket.socketpair()
        try:
            self.open_stream()
            self.part(b": welcome\n\nid: 0\nretry: 3000\ndata:\n\n")
            told = int(self.headers.get("Last-Event-ID", 0))
            while True:
                for text in STATE.said[told:]:
                    told += 1
                    params = {"level": "info", "data": text}
                    message = {"jsonrpc": "2.0", "method": "notifications/message", "params": params}
                    self.part(b"id: %d\ndata: %s\n\n" % (told, json.dumps(message).encode()))
                if self.hung_up(wake):
                    break
        finally:
            STATE.set("listener", None)
            self.close_connection = True

    def do_DELETE(self):
        STATE.session = None
        self.whole(200)

    def list(self, request):
        """The tools in an event whose last line end comes in two halves."""
        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]
        answer = {"jsonrpc": "2.0", "id": request["id"], "result": {"tools": tools}}
        self.open_stream()
        self.part(b": wait\r\n\r\n")
        self.part(event(1, json.dumps(answer).encode(), b"\r\n")[:-1])
        self.part(b"\n")
        self.part(b"")

    # tools

    def drip(self, request, arguments):
        """Events one by one; the next one only after the client told that it has the last one."""
        STATE.set("acknowledged", 0)
        self.open_stream()
        for number in range(1, arguments["parts"] + 1):
            params = {"progressToken": request["params"]["_meta"]["progressToken"], "progress": number}
            message = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
            self.part(event(number, json.dumps(message).encode(), b"\r\n" if number % 2 else b"\n"))
            STATE.wait(lambda seen=number: STATE.acknowledged >= seen)
            self.part(b": still %d\n\n" % number)
        answer = {"jsonrpc": "2.0", "id": request["id"], "result": {"content": []}}
        self.part(event(0, b"\ndata: ".join(json.dumps(answer, indent=1).encode().splitlines())))
        self.part(b"")

    def acknowledge(self, request, arguments):
        STATE.set("acknowledged", arguments["part"])
        self.text(request, "thank you")

    def numbers(self, request, _arguments):
        """JSON that changes when it is read and written again."""
        self.result(request, b'{"content":[], "structuredContent":' + NUMBERS + b"}")

    def large(self, request, arguments):
        digests = (hashlib.sha256(b"%d" % n).hexdigest() for n in range(arguments["bytes"] // 64))
        self.text(request, "".join(digests))

    def say(self, request, arguments):
        STATE.said.append(arguments["text"])
        if STATE.listener:
            STATE.listener.send(b".")
        self.text(request, "said")

    def hush(self, request, _arguments):
        self.text(request, "closed" if STATE.wait(lambda: STATE.listener is None) else "the stream is still open")

    def hold(self, request, _arguments):
        """Say that the call runs, then wait until the caller hangs up."""
        STATE.set("holding", True)
        self.open_stream()
        self.part(b": holding\n\n")
        self.hung_up()
        self.close_connection = True
        STATE.set("holding", False)

    def held(self, request, _arguments):
        self.text(request, "hung up" if STATE.wait(lambda: not STATE.holding) else "nobody hung up")

    def reflect(self, request, _arguments):
        self.text(request, json.dumps({name.lower(): value for name, value in self.headers.items()}))


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
