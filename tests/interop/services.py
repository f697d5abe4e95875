"""Starts the programs of a run, waits until each one serves, and ends them all. Not for: judging what they say."""

import hashlib
import json
import os
import queue
import re
import signal
import socket
import subprocess
import tempfile
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).parent
KEY = "tg_interop_0123456789abcdefghijkl"
HEADERS = json.dumps({"x-api-key": KEY})
START_TIMEOUT = 30

POLICY = """\
server: {name}
roles:
  everyone: {{ tools: ["{tools}"], prompts: ["*"], resources: ["*"], methods: ["*"] }}
server_may: [elicitation, sampling, roots]
tools:
  "*": {{ timeout: 60s }}
"""
PRINCIPALS = """\
keys:
  - {{ id: interop, hash: "sha256:{digest}", roles: [everyone] }}
"""


class Failure(Exception):
    """What a check found wrong, in words for the person who reads the run."""


class Process:
    """A program in a process group of its own, with its output kept line by line."""

    def __init__(self, command, **environment):
        self.command = [str(part) for part in command]
        self.popen = subprocess.Popen(
            self.command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.stdout, self.stderr = queue.Queue(), queue.Queue()
        for pipe, lines in ((self.popen.stdout, self.stdout), (self.popen.stderr, self.stderr)):
            threading.Thread(target=self._read, args=(pipe, lines), daemon=True).start()

    @staticmethod
    def _read(pipe, lines):
        for line in pipe:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    def line(self, pattern, lines, timeout=START_TIMEOUT):
        """The first line that matches; everything before it is dropped."""
        seen = []
        while True:
            try:
                line = lines.get(timeout=timeout)
            except queue.Empty:
                line = None
            if line is None:
                raise Failure(f"{self.command[0]} never said {pattern!r}, but:\n" + "\n".join(seen[-20:]))
            if match := re.search(pattern, line):
                return match
            seen.append(line)

    def rest(self):
        """What it wrote on stdout and nobody has read yet, to the end."""
        return list(iter(self.stdout.get, None))

    def end(self):
        if self.popen.poll() is None:
            os.killpg(self.popen.pid, signal.SIGTERM)
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for_port(process, port):
    pause = threading.Event()
    for _ in range(START_TIMEOUT * 20):
        if process.popen.poll() is not None:
            raise Failure(f"{process.command} ended:\n" + "\n".join(filter(None, process.stderr.queue)))
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        pause.wait(0.05)
    raise Failure(f"{process.command} never listened")


class Services:
    """Everything that one run starts; leaving the `with` ends it, last one first."""

    def __init__(self, cache, gate, scratch):
        self.modules = cache / "node_modules"
        self.runtimes = {
            "python 1": cache / "python-1/bin/python",
            "python 2": cache / "python-2/bin/python",
            "node": "node",
            "node 22": next(self.modules.glob("node-linux-*/bin/node")),
        }
        self.gate_command = gate
        self.scratch = scratch
        self.stack = ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stack.close()

    def start(self, command, **environment):
        process = Process(command, **environment)
        self.stack.callback(process.end)
        return process

    def server(self, runtime, program, *arguments, path="/mcp"):
        """Starts one of the MCP servers and returns its address."""
        port = free_port()
        command = [self.runtimes[runtime], HERE / "servers" / program, port, *arguments]
        process = self.start(command, NODE_MODULES=str(self.modules))
        wait_for_port(process, port)
        return f"http://127.0.0.1:{port}{path}"

    @contextmanager
    def gate(self, name, upstream, tools="*", settings="{}", policies=None, **environment):
        """Runs the gate in front of `upstream`, with a policy that allows `tools` and everything else, or with these
        files of policies, and with these settings for its file; gives its process, `address` added.
        """
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        (folder / "policies").mkdir()
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        everything = {
            f"{name}.yaml": POLICY.format(name=name, tools=tools),
            "principals.yaml": PRINCIPALS.format(digest=digest),
        }
        for file, text in (policies or everything).items():
            (folder / "policies" / file).write_text(text)
        command = [*self.gate_command, "run", "--config", folder / "tollgate.yaml"]
        if upstream is None:
            pass  # the settings say where the servers are
        elif upstream.endswith("/sse"):
            settings = f"servers: {{ {name}: {{ sse: {upstream} }} }}\n"
        else:
            command += ["--server", f"{name}={upstream}"]
        (folder / "tollgate.yaml").write_text(settings)
        if "listen:" not in settings:
            command += ["--listen", "127.0.0.1:0"]
        if "admin:" not in settings:
            command += ["--admin", "127.0.0.1:0"]
        process = Process(command, **environment)
        try:
            process.address = process.line(r"listening on (http://127\.0\.0\.1:\d+/\S*(?:mcp|sse))\b", process.stderr)[1]
            yield process
        finally:
            process.end()
