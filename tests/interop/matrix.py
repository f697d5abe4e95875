"""Which client meets which server, how each is started, and what version they agree on. Not for: running them."""

import json
from dataclasses import dataclass

from compare import compare, output
from services import HERE, Failure

HANDSHAKE, STATELESS = "2025-11-25", "2026-07-28"


@dataclass(frozen=True)
class Client:
    runtime: str
    program: str
    mode: str | None
    speaks: tuple  # the one that it prefers first


@dataclass(frozen=True)
class Server:
    runtime: str
    program: str
    arguments: tuple
    battery: str
    speaks: tuple
    clients: tuple

    @property
    def listens(self):
        """Whether its sessions have a stream of their own; the TypeScript SDK v2 serves without sessions."""
        return self.program != "small_typescript_v2.mjs"

    @property
    def streamable(self):
        """Whether it speaks Streamable HTTP, and not HTTP+SSE of 2024-11-05."""
        return "sdk-sse" not in self.arguments


OLD, NEW = (HANDSHAKE,), (STATELESS, HANDSHAKE)

CLIENTS = {
    "python 1": Client("python 1", "python_v1.py", None, OLD),
    "python 2 legacy": Client("python 2", "python.py", "legacy", OLD),
    "python 2 auto": Client("python 2", "python.py", "auto", NEW),
    "fastmcp 3": Client("python 1", "fastmcp_client.py", None, OLD),
    "fastmcp 4 legacy": Client("python 2", "fastmcp_client.py", "legacy", OLD),
    "fastmcp 4 auto": Client("python 2", "fastmcp_client.py", "auto", NEW),
    "langchain": Client("python 1", "langchain_tools.py", None, OLD),
    "typescript v1": Client("node", "typescript.mjs", "v1", OLD),
    "typescript v2-legacy": Client("node", "typescript.mjs", "v2-legacy", OLD),
    "typescript v2-auto": Client("node", "typescript.mjs", "v2-auto", NEW),
    "inspector legacy": Client("node 22", "inspector.mjs", "legacy", OLD),
    "inspector auto": Client("node 22", "inspector.mjs", "auto", NEW),
    "inspector modern": Client("node 22", "inspector.mjs", "modern", (STATELESS,)),
}

# Not every pair, for the time it takes: every client meets a server of each era that it can, and every server is met by
# both languages. A client and a server without a version in common must fail in the same words.
SERVERS = {
    "records": Server(
        *("python 2", "records.py", (), "records", NEW),
        clients=(
            *("python 1", "python 2 legacy", "python 2 auto", "fastmcp 3", "fastmcp 4 auto", "langchain"),
            *("typescript v1", "typescript v2-legacy", "typescript v2-auto", "inspector legacy", "inspector modern"),
        ),
    ),
    "everything": Server(
        *("node", "everything.mjs", (), "everything", OLD),
        clients=(
            *("python 1", "python 2 legacy", "python 2 auto", "fastmcp 4 auto"),
            *("typescript v1", "typescript v2-auto"),
        ),
    ),
    "bulletin": Server(
        *("python 2", "bulletin.py", (), "bulletin", NEW),
        clients=("python 2 auto", "typescript v2-auto"),
    ),
    "python-1": Server(
        *("python 1", "small_python.py", ("sdk",), "small", OLD),
        clients=("python 1", "python 2 auto", "fastmcp 4 auto", "langchain", "typescript v1", "inspector auto"),
    ),
    "python-1-sse": Server(
        *("python 1", "small_python.py", ("sdk-sse",), "small", OLD),
        clients=("python 1", "typescript v1"),
    ),
    "fastmcp-3": Server(
        *("python 1", "small_python.py", ("fastmcp",), "small", OLD),
        clients=("fastmcp 3", "fastmcp 4 legacy", "fastmcp 4 auto", "langchain", "typescript v2-auto"),
    ),
    "typescript-v1": Server(
        *("node", "small_typescript_v1.mjs", (), "small", OLD),
        clients=("python 1", "python 2 auto", "fastmcp 3", "typescript v1", "typescript v2-auto", "inspector auto"),
    ),
    "typescript-v2": Server(
        *("node", "small_typescript_v2.mjs", ("stateless",), "small", NEW),
        clients=(
            *("python 1", "python 2 legacy", "python 2 auto", "fastmcp 4 legacy", "fastmcp 4 auto", "langchain"),
            *("typescript v1", "typescript v2-legacy", "typescript v2-auto", "inspector legacy", "inspector auto"),
        ),
    ),
    "typescript-v2-only": Server(
        *("node", "small_typescript_v2.mjs", ("reject",), "small", (STATELESS,)),
        clients=(
            *("python 1", "python 2 auto", "fastmcp 4 auto", "langchain"),
            *("typescript v1", "typescript v2-legacy", "typescript v2-auto", "inspector legacy", "inspector modern"),
        ),
    ),
}


def transcript(services, client, battery, address):
    how = CLIENTS[client]
    command = [services.runtimes[how.runtime], HERE / "clients" / how.program, address]
    command += [HERE / f"batteries/{battery}.json", *filter(None, [how.mode])]
    return output(command, NODE_MODULES=str(services.modules))


# Methods that 2026-07-28 has done away with: the gate says so itself, with the same code, in words of its own.
GONE = ("ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe")


def settle_gone(direct, gated):
    """Leaves only the code of what the gate must refuse itself, and only if it has."""
    asked = {entry.split()[1] for entry in direct.get("wire", ())}  # SDKs refuse some of them before they are sent
    for ours, theirs in zip(gated["steps"], direct["steps"], strict=False):
        if (method := ours["step"][0]) not in GONE or method not in asked:
            continue
        error = ours.get("error") or {}
        if (error.get("data") or {}).get("io.tollgate/origin") != "gateway":
            raise Failure(f"the gate should have refused {method}, but: {ours}")
        for step in (ours, theirs):
            step["error"] = step["error"]["code"]
            step.pop("exception", None)


def settle_race(seen):
    """Takes out what an SDK over HTTP+SSE sees or not as it happens, gate or no gate: the 202 to a request may come behind
    its answer, and TypeScript forgets a call's progress when the answer comes in the same piece.
    """
    seen.pop("wire")
    for step in seen["steps"]:
        told = [event for event in step["events"] if event["method"] != "notifications/progress"]
        step["events"] = sorted(told, key=json.dumps)


def check(services, name, client, upstream, gate):
    """The client sees the same directly and through the gate, and speaks the newest version that both sides have."""
    server = SERVERS[name]
    direct, gated = (transcript(services, client, server.battery, address) for address in (upstream, gate))
    common = [version for version in CLIENTS[client].speaks if version in server.speaks]
    for way, seen in (("directly", direct), ("through the gate", gated)):
        spoken = seen["server"].get("protocol")
        if spoken != (common[0] if common else None):
            raise Failure(f"{way} they should speak {common[:1]}, but: {seen['server']}")
    if common[:1] == [STATELESS]:
        settle_gone(direct, gated)
    if not server.streamable:
        settle_race(direct)
        settle_race(gated)
    compare(direct, gated)
