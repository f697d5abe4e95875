"""Stands where a server does, and keeps the headers and bodies of the calls that come. Not for: answering them."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class Catcher:
    """Serves while its `with` lasts; `address` says where, `calls` has what came."""

    def __enter__(self):
        self.calls = []
        caught = self.calls

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                caught.append((self.headers, body))
                self.answer(500)

            def do_OPTIONS(self):
                self.answer(405)

            def answer(self, status):
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/mcp"
        Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()
