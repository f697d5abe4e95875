"""Stands in for the gate and breaks what $FAULT names, to show that the checks notice. Without a fault it only carries.

With a gate's command in $BEHIND it stands before that one, so that what the gate answers itself is there, too. Not for:
anything but proving the tests; see prove.sh. Usage: as the gate's `run`.
"""

import argparse
import contextlib
import http.client
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULT = os.environ.get("FAULT", "")
CONNECTION = {"connection", "transfer-encoding", "content-length", "keep-alive", "host", "date", "server"}
# The header that each of these faults loses on the way to the server.
LOST = {
    "session": "mcp-session-id",
    "version": "mcp-protocol-version",
    "resume": "last-event-id",
    "argument": "mcp-param-board",
}
# And the one that each of these sets.
SET = {"accept": ("Accept", "application/json, text/event-stream")}
EDITS = {
    "rename-tool": (b'"echo"', b'"ECHO"'),
    "rename-record": (b"search_records", b"search_record5"),
    "reorder": (b'"b":1, "a":2', b'"a":2, "b":1'),
    "respell": (b"1.0E+2", b"100"),
    "comments": (b": still", b": quiet"),
    "ids": (b"id: part-3", b"id: part-4"),
    "progress": (b'"progress":2', b'"progress":3'),
    "cross": (b'"progressToken": "t3"', b'"progressToken": "t4"'),
    "words": (b"Server not initialized", b"Server is not initialized"),
}
# The method that each of these faults has an answer of its own for.
KEPT = {"downgrade": (b'"server/discover"', 404), "uncancelled": (b'"notifications/cancelled"', 202)}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    upstream = None
    own = None

    def log_message(self, *_):
        pass

    def carry(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
        if status := self.refused(body or b""):
            self.send_response(status)
            return self.finish_whole(b"")
        connection = http.client.HTTPConnection(self.upstream.netloc, timeout=60)
        with contextlib.suppress(OSError):  # whoever refuses a long body may answer before the end of it
            connection.request(self.command, self.target(), body, self.passed())
        reply = connection.getresponse()
        self.send_response(202 if FAULT == "status" and reply.status == 200 else reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in CONNECTION:
                self.send_header(name, "text/plain" if FAULT == "type" and name.lower() == "content-type" else value)
        if reply.getheader("content-type", "").startswith("text/event-stream"):
            threading.Thread(target=self.pass_on_hang_up, args=(reply.fp.raw._sock,), daemon=True).start()
            self.stream(reply)
        else:
            self.finish_whole(self.edited(reply.read()))
        connection.close()

    do_GET = do_POST = do_DELETE = do_PUT = do_HEAD = do_OPTIONS = carry

    def refused(self, body):
        method, status = KEPT.get(FAULT, (None, None))
        if method and method in body:
            return status
        return 413 if FAULT == "short" and len(body) > 1 << 20 else None

    def target(self):
        return self.path.rstrip("/") if FAULT == "alias" else self.path

    def passed(self):
        headers = {n: v for n, v in self.headers.items() if n.lower() not in CONNECTION | {LOST.get(FAULT)}}
        if self.headers["Host"] != self.own and FAULT != "host":
            headers["Host"] = self.headers["Host"]
        return headers | dict([SET[FAULT]] if FAULT in SET else [])

    def pass_on_hang_up(self, upstream):
        select.select([self.connection], [], [])
        if FAULT != "deaf" and not self.connection.recv(1, socket.MSG_PEEK):
            upstream.shutdown(socket.SHUT_RDWR)

    def edited(self, data):
        old, new = EDITS.get(FAULT, (b"", b""))
        data = data.replace(old, new) if old else data
        return data[:1_000_000] if FAULT == "truncate" else data

    def finish_whole(self, body):
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, reply):
        if FAULT == "buffer":
            return self.finish_whole(reply.read())
        self.send_header("Transfer-Encoding", "chunked")
        if FAULT != "late":
            self.end_headers()
        for data in iter(lambda: reply.read1(65536), b""):
            if self._headers_buffer:
                self.end_headers()
            data = self.edited(data)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


def gate_behind(command, arguments):
    """Starts the gate proper; gives its address."""
    gate = subprocess.Popen([*command.split(), *arguments], stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(gate.terminate()))
    address = next(filter(None, (re.search(r"listening on (http://\S+/mcp)", line) for line in gate.stderr)))[1]
    threading.Thread(target=gate.stderr.read, daemon=True).start()
    return address


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--server")
    address = arguments.parse_known_args()[0].server.partition("=")[2]
    if command := os.environ.get("BEHIND"):
        address = gate_behind(command, sys.argv[1:])
    Handler.upstream = urllib.parse.urlsplit(address)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.own = f"127.0.0.1:{server.server_port}"
    print(f"listening on http://{Handler.own}/mcp", file=sys.stderr, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
