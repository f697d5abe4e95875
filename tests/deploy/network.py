"""The network of a sidecar, for real: pods as network namespaces, a balancer before them, and a rolling update under load.

Each pod has an MCP server on its loopback address and a gate on its own. A client in another namespace reaches the gates
and not the servers; and while both pods are replaced as Kubernetes does it, no call of the client is lost.

Usage: network.py [--calls N]
"""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / "target/debug"
DEADLINE = 20
CLIENTS = 8
# Of a network that exists only between these namespaces.
NODE, PODS = "10.231.77.1", {"a": "10.231.77.11", "b": "10.231.77.12", "c": "10.231.77.13", "d": "10.231.77.14"}
CALL = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": "test_simple_text",
            "arguments": {},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": {"name": "drain", "version": "1"},
            },
        },
    }
)


def sh(*command):
    subprocess.run(command, check=True)


def until(what, holds, log=None):
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if holds():
            return
        time.sleep(0.02)
    said = f"; the log ends with\n{log.read_text()[-2000:]}" if log else ""
    sys.exit(f"network: not within {DEADLINE} s: {what}{said}")


class Namespaces:
    """One for each pod, one for the client and balancer, joined by a bridge in the last."""

    def __init__(self, stack):
        self.prefix = f"tg{os.getpid()}"
        self.stack = stack
        self.add("node")
        for command in ("link add bridge type bridge", f"addr add {NODE}/24 dev bridge", "link set bridge up"):
            sh("ip", "-n", self.name("node"), *command.split())

    def name(self, of):
        return f"{self.prefix}-{of}"

    def add(self, of):
        sh("ip", "netns", "add", self.name(of))
        self.stack.callback(subprocess.run, ["ip", "netns", "del", self.name(of)], check=False)
        sh("ip", "-n", self.name(of), "link", "set", "lo", "up")

    def add_pod(self, of):
        self.add(of)
        node, pod = self.name("node"), self.name(of)
        sh("ip", "-n", node, "link", "add", f"to-{of}", "type", "veth", "peer", "name", "eth0", "netns", pod)
        sh("ip", "-n", node, "link", "set", f"to-{of}", "master", "bridge", "up")
        sh("ip", "-n", pod, "addr", "add", f"{PODS[of]}/24", "dev", "eth0")
        sh("ip", "-n", pod, "link", "set", "eth0", "up")

    def start(self, of, command, log):
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.name(of), *map(str, command)],
            stdout=log, stderr=subprocess.STDOUT, env=os.environ | {"OTEL_TRACES_EXPORTER": "none"},
        )  # fmt: skip
        self.stack.callback(end, process)
        return process

    @contextlib.contextmanager
    def inside(self, of):
        """This thread, in a namespace. Sockets that it opens belong there for good."""
        with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{self.name(of)}") as there:
            setns(there.fileno())
            try:
                yield
            finally:
                setns(before.fileno())


def setns(descriptor):
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, 0x40000000) != 0:  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "setns")


def end(process):
    if process.poll() is None:
        process.kill()
    process.wait()


class Pod:
    """A server and its gate."""

    def __init__(self, network, name, home):
        self.network, self.name, self.address = network, name, PODS[name]
        network.add_pod(name)
        self.log = open(home / f"{name}.log", "w")
        self.server = network.start(name, [BIN / "tollgate-fixture", "--address", "127.0.0.1:8000"], self.log)
        self.gate = network.start(
            name,
            [BIN / "tollgate", "run", "--server=http://127.0.0.1:8000/mcp", f"--policies={home / 'policies'}",
             "--listen=0.0.0.0:8080", "--admin=0.0.0.0:9901"],
            self.log,
        )  # fmt: skip
        until(f"pod {name} is ready", self.is_ready, home / f"{name}.log")

    def is_ready(self):
        with self.network.inside("node"), contextlib.suppress(OSError):
            connection = http.client.HTTPConnection(self.address, 9901, timeout=2)
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        return False


class Load:
    """Clients that call without a pause, on connections that they keep as long as they may."""

    def __init__(self, network, key, calls):
        self.network, self.left, self.lock = network, calls, threading.Lock()
        self.done, self.lost = 0, []
        self.headers = {
            "host": "records.records.svc", "x-api-key": key, "content-type": "application/json",
            "accept": "application/json, text/event-stream", "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call", "mcp-name": "test_simple_text",
        }  # fmt: skip
        self.threads = [threading.Thread(target=self.client) for _ in range(CLIENTS)]

    def client(self):
        with self.network.inside("node"):
            connection = http.client.HTTPConnection(NODE, 8080, timeout=DEADLINE)
            while self.take():
                try:
                    connection.request("POST", "/mcp", CALL, self.headers)
                    response = connection.getresponse()
                    body = response.read()
                    if response.status != 200 or b'"isError":false' not in body:
                        self.lose(f"{response.status} {body[:300]}")
                except (OSError, http.client.HTTPException) as problem:
                    self.lose(repr(problem))
                    connection.close()
                self.done += 1

    def take(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def lose(self, what):
        self.lost.append(what)


class Balancer:
    """HAProxy, which knows only of connections, like kube-proxy; and whom to send them to by its socket, as by endpoints."""

    def __init__(self, network, home):
        self.network, self.socket = network, str(home / "balancer")
        servers = "\n".join(f"  server {name} {address}:8080 disabled" for name, address in PODS.items())
        (home / "haproxy.cfg").write_text(
            f"global\n  stats socket {self.socket} level admin\n"
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
            f"listen gates\n  bind {NODE}:8080\n  balance roundrobin\n{servers}\n"
        )
        network.start("node", ["haproxy", "-db", "-f", home / "haproxy.cfg"], open(home / "haproxy.log", "w"))
        until("the balancer runs", lambda: os.path.exists(self.socket))

    def tell(self, command):
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(self.socket)
            control.sendall(command.encode() + b"\n")
            answer = control.recv(65536)
        if answer.strip():
            sys.exit(f"network: the balancer says {answer!r}")

    def add(self, pod):
        self.tell(f"set server gates/{pod.name} state ready")

    def remove(self, pod):
        # New connections go elsewhere; those that there are stay, as with a Service.
        self.tell(f"set server gates/{pod.name} state drain")


def reaches(network, address, port):
    with network.inside("node"):
        try:
            socket.create_connection((address, port), timeout=2).close()
            return True
        except OSError:
            return False


def replace(balancer, old, new, load):
    """What a rolling update with `maxUnavailable: 0` does, with the sidecar's order of ends."""
    balancer.add(new)
    before = load.done
    until("calls go on beside the new pod", lambda: load.done > before + 50)
    balancer.remove(old)
    before = load.done  # what had been on its way to the old pod's door is in
    until("calls go on without the old pod", lambda: load.done > before + 50)
    old.gate.send_signal(signal.SIGTERM)  # `tollgate drain --after`
    code = old.gate.wait(DEADLINE)
    if code != 0:
        sys.exit(f"network: the gate of pod {old.name} ended with {code}: it lost something")
    old.server.terminate()  # only now: the gate answered its last calls with it
    old.server.wait(DEADLINE)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=5_000)
    calls = parser.parse_args().calls
    probe = f"tg{os.getpid()}-probe"
    allowed = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    if allowed.returncode != 0:
        print(f"network: SKIPPED, namespaces are not permitted here: {allowed.stderr.strip()}")
        return
    sh("ip", "netns", "del", probe)

    with contextlib.ExitStack() as stack:
        home = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (home / "policies").mkdir()
        made = subprocess.run([BIN / "tollgate", "keys", "new", "--id", "a", "--role", "reader"],
                              capture_output=True, text=True, check=True).stdout  # fmt: skip
        (home / "policies/principals.yaml").write_text("keys:" + made.split("\nkeys:", 1)[1])
        (home / "policies/p.yaml").write_text("server: records\nroles: { reader: { tools: [test_simple_text] } }\n")
        network = Namespaces(stack)
        balancer = Balancer(network, home)
        pods = {name: Pod(network, name, home) for name in ("a", "b")}

        for pod in pods.values():
            if not reaches(network, pod.address, 8080):
                sys.exit(f"network: the client does not reach the gate of pod {pod.name}")
            if reaches(network, pod.address, 8000):
                sys.exit(f"network: the client reaches the server of pod {pod.name}, around the gate")
            balancer.add(pod)

        load = Load(network, made.split("\n", 1)[0].strip(), calls)
        began = time.monotonic()
        for thread in load.threads:
            thread.start()
        for old, new in (("a", "c"), ("b", "d")):
            until(f"load before {old} is replaced", lambda: load.done > 200)
            replace(balancer, pods[old], Pod(network, new, home), load)
        if load.left <= 0:
            sys.exit("network: the load was over before the update was; ask for more --calls")
        for thread in load.threads:
            thread.join()
        took = time.monotonic() - began
    if load.lost:
        sys.exit(f"network: {len(load.lost)} of {calls} calls lost, such as:\n" + "\n".join(load.lost[:5]))
    print(f"network: servers out of reach; 0 of {load.done} calls lost while both gates were replaced, in {took:.0f} s")


main()
