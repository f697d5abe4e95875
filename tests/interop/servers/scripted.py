"""A server that sends exactly these bytes, each part only when its client has answered for the one before.

For what SDKs hide: event framing, buffering, streams that must close. It does the least of MCP that a gate needs to
believe it; its tools are in scripted_tools.py. Not for: showing how to write a server. Usage: scripted.py PORT
"""

import json
import select
import socket
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from scripted_tools import PATIENCE, STATE, Tools, event

WELCOME = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "scripted", "version": "1"},
}


class Handler(Tools, BaseHTTPRequestHandler):
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
            if method == "notifications/cancelled":
                self.cancel(params)
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
            if not STATE.quiet:
                self.part(b": welcome\n\nid: 0\nretry: 3000\ndata:\n\n")
            told = int(self.headers.get("Last-Event-ID", 0))
            while True:
                for data in STATE.said[told:]:
                    told += 1
                    self.part(data)
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
        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in self.NAMES]
        answer = {"jsonrpc": "2.0", "id": request["id"], "result": {"tools": tools}}
        self.open_stream()
        self.part(b": wait\r\n\r\n")
        self.part(event(1, json.dumps(answer).encode(), b"\r\n")[:-1])
        self.part(b"\n")
        self.part(b"")


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
