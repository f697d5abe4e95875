"""A gate, its server, a limits store and a Prometheus, each a real process on a free port; and what is done to them."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

REPO = pathlib.Path(__file__).resolve().parents[2]
TOLLGATE = pathlib.Path(os.environ["TOLLGATE"]).resolve()
DEMO = pathlib.Path(os.environ["TOLLGATE_DEMO"]).resolve()
DEADLINE = 30


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def until(what, condition):
    """Waits until `condition` gives something true, which is returned."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, urllib.error.URLError):
            if found := condition():
                return found
        time.sleep(0.05)
    raise SystemExit(f"not within {DEADLINE} s: {what}")


def get(url):
    with urllib.request.urlopen(url, timeout=5) as reply:
        return reply.read().decode()


class Scene:
    """Everything that runs, in one folder that goes with it."""

    def __init__(self, stack):
        self.stack = stack
        self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.ports = {name: free_port() for name in ("server", "gate", "admin", "store", "prometheus", "collector")}
        self.log = self.folder / "decisions"
        self.session = None
        self.logs = []
        stack.push(lambda failed, *_: failed and print(self.last_words()))
        self.store = self.start("redis-server", "--port", str(self.ports["store"]), "--bind", "127.0.0.1", "--save", "")
        self.server = self.start(DEMO, "serve", "--memory", "--address", f"127.0.0.1:{self.ports['server']}")
        until("the server answers", lambda: get(f"http://127.0.0.1:{self.ports['server']}/health"))
        self.write_files()
        self.gate = self.start(
            TOLLGATE, "run", "--config", self.folder / "tollgate.yaml",
            out=self.log, TOLLGATE_KILL_KEY=self.kill_key,
            # Nobody listens there: a collector that is down must show, and hurt nobody.
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{self.ports['collector']}", OTEL_METRICS_EXPORTER="none",
            TOLLGATE_LIMITS_STORE=f"redis://127.0.0.1:{self.ports['store']}",
        )
        until("the gate is ready", lambda: get(f"http://127.0.0.1:{self.ports['admin']}/readyz"))
        self.start(
            "prometheus", f"--config.file={self.folder / 'prometheus.yml'}", f"--storage.tsdb.path={self.folder / 'series'}",
            f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}", "--enable-feature=exemplar-storage",
        )
        self.prometheus = f"http://127.0.0.1:{self.ports['prometheus']}"
        until("Prometheus has scraped the gate", lambda: self.query("tollgate_policy_info"))

    def start(self, *command, out=None, **environment):
        """Starts a program, which ends with the scene."""
        errors = (self.folder / f"{pathlib.Path(command[0]).name}.log").open("w")
        process = subprocess.Popen(
            [str(each) for each in command],
            stdout=out.open("w") if out else errors,
            stderr=errors,
            env=os.environ | environment,
        )
        self.stack.callback(self.end, process)
        self.logs.append(pathlib.Path(errors.name))
        return process

    def last_words(self):
        """The ends of what the programs have written, for whoever looks into a failure."""
        return "\n".join(f"{log.name}: {log.read_text()[-1500:]}" for log in self.logs)

    def end(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def tollgate(self, *arguments, **environment):
        """What the program says, run to its end."""
        done = subprocess.run(
            [TOLLGATE, *arguments], capture_output=True, text=True, env=os.environ | environment, cwd=self.folder, check=False
        )
        if done.returncode:
            raise SystemExit(f"tollgate {' '.join(map(str, arguments))}: {done.stderr}")
        return done.stdout

    def write_files(self):
        policies = self.folder / "policies"
        policies.mkdir()
        shipped = (REPO / "policies/records.yaml").read_text()
        # Beside what is shipped: a rule that is tried out, answers that are given again and something that is masked, so that
        # their panels have something to show.
        (policies / "records.yaml").write_text(shipped.replace(
            "  get_record_detail:\n",
            "  get_record_detail:\n    mode: shadow\n    arguments: { properties: { record_id: { maxLength: 1 } } }\n", 1,
        ) + "\n  get_pool_status:\n    cache: { for: 5m, per: everyone }\n\nredact:\n  - { find: [email], then: mask }\n")
        made = self.tollgate("keys", "new", "--id", "ann", "--role", "operator")
        self.key = made.splitlines()[0]
        (policies / "principals.yaml").write_text(made[made.index("keys:"):])
        self.kill_key = "k" * 43
        public = self.tollgate("audit", "keys", "new", "--name", "gate.example.com/audit", "--out", self.folder / "audit-key")
        (self.folder / "audit-key.pub").write_text(public)
        (self.folder / "tollgate.yaml").write_text(json.dumps({
            "listen": {"address": f"127.0.0.1:{self.ports['gate']}"},
            "admin": {"address": f"127.0.0.1:{self.ports['admin']}"},
            "servers": {"records": {"url": f"http://127.0.0.1:{self.ports['server']}/mcp"}},
            "audit": {"file": str(self.folder / "audit"), "key": f"file:{self.folder / 'audit-key'}", "otlp": "records"},
            "max_memory_bytes": 1 << 30,
            "kill_switch": {"api": {"key": "env:TOLLGATE_KILL_KEY", "state": str(self.folder / "kills.yaml")}},
            "limits_store": {"url": "env:TOLLGATE_LIMITS_STORE", "when_down": "local_share"},
            "policies": str(policies),
        }))
        (self.folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "500ms", "evaluation_interval": "1s"},
            "rule_files": [str(REPO / "deploy/observability/rules.yaml")],
            "scrape_configs": [{"job_name": "gate", "static_configs": [{"targets": [f"127.0.0.1:{self.ports['admin']}"]}]}],
        }))

    def query(self, expression, moment=None):
        """The samples of an instant query."""
        asked = {"query": expression} | ({"time": moment} if moment else {})
        reply = json.loads(get(f"{self.prometheus}/api/v1/query?{urllib.parse.urlencode(asked)}"))
        return reply["data"]["result"]

    def exemplars(self, series):
        """The exemplars of the last minutes."""
        now = time.time()
        asked = urllib.parse.urlencode({"query": series, "start": now - 600, "end": now + 60})
        found = json.loads(get(f"{self.prometheus}/api/v1/query_exemplars?{asked}"))["data"]
        return [one for each in found for one in each["exemplars"]]

    def post(self, body, key=None, session=None):
        headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        headers |= {"x-api-key": key} if key else {}
        headers |= {"mcp-session-id": session} if session else {}
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports['gate']}/mcp", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE) as reply:
                reply.read()
                return reply
        except urllib.error.HTTPError as refused:
            refused.read()
            return refused

    def ask(self, method, **params):
        if self.session is None:
            hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "driver", "version": "1"}}
            reply = self.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}, self.key)
            self.session = reply.headers["mcp-session-id"]
            self.post({"jsonrpc": "2.0", "method": "notifications/initialized"}, self.key, self.session)
        return self.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, self.key, self.session)

    def call(self, tool, **arguments):
        return self.ask("tools/call", name=tool, arguments=arguments)
