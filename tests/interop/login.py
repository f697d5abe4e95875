"""Logging in: clients find a real OpenID provider by what the gate tells them, and step up a scope when a call needs it.

Nobody tells them anything but the gate's address. Not for: what is wrong with a token; the gate's own tests have that.
"""

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from functools import partial

from compare import output
from services import HERE, Failure, free_port, wait_for_port

POLICY = """\
server: login
roles:
  reader: {tools: [echo, add]}
tools:
  add: {scopes: ["records:write"]}
"""
PRINCIPALS = """\
tokens:
  - issuer: %(issuer)s
    audience: %(resource)s
    allow_addresses: [127.0.0.1/32]
    ask_for: ["records:read"]
    roles:
      claim: scope
      map: {"records:read": reader, "records:write": reader}
"""
OPAQUE = """\
tokens:
  - issuer: %(issuer)s
    audience: "urn:opaque"
    allow_addresses: [127.0.0.1/32]
    introspection: {url: %(issuer)s/token/introspection, client_id: gate, client_secret: "env:GATE_SECRET", cache: 0s}
    id: client_id
    roles:
      claim: scope
      map: {"records:read": reader, "records:write": reader}
"""
SETTINGS = "listen: {address: '127.0.0.1:%(port)d', public_url: '%(resource)s'}\n"

# The clients, and whether they ask for what they had, too, when they step up.
CLIENTS = {
    "python 1": ("python 1", "login.py", "1", False),
    "python 2 legacy": ("python 2", "login.py", "legacy", True),
    "python 2 auto": ("python 2", "login.py", "auto", True),
    "typescript v1": ("node", "login.mjs", "v1", False),
    "typescript v2-legacy": ("node", "login.mjs", "v2-legacy", True),
    "typescript v2-auto": ("node", "login.mjs", "v2-auto", True),
}
# What an authorization server has, and a gate does not.
ELSEWHERE = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/authorize", "/token", "/register"]


def check_all(services, report):
    """One provider, one gate, and every client."""
    checks = {f"login · {client}": partial(check_client, services, client) for client in CLIENTS}
    checks["login · nothing but metadata"] = check_paths
    opaque = "login · opaque tokens"
    if not any(map(report.wants, [*checks, opaque])):
        return
    port = free_port()
    resource = f"http://127.0.0.1:{port}/mcp"
    issuer = start_provider(services, resource)
    upstream = services.server("node", "small_typescript_v2.mjs", "stateless")
    known = {"issuer": issuer, "resource": resource, "port": port}
    policies = {"login.yaml": POLICY, "principals.yaml": PRINCIPALS % known}
    with services.gate("login", upstream, settings=SETTINGS % known, policies=policies) as gate:
        for check, run in checks.items():
            report.check(check, run, gate)
    policies["principals.yaml"] = OPAQUE % known
    with services.gate("login", upstream, policies=policies, GATE_SECRET=secret("gate")) as gate:
        report.check(opaque, partial(check_opaque, issuer), gate)


def start_provider(services, resource):
    port = free_port()
    command = [services.runtimes["node"], HERE / "servers/provider.mjs", port, resource]
    wait_for_port(services.start(command, NODE_MODULES=str(services.modules)), port)
    return f"http://127.0.0.1:{port}"


def check_client(services, client, gate):
    """It sees the tool that it lacks a scope for, is sent for that scope by the call, and has what came of it."""
    runtime, program, mode, adds = CLIENTS[client]
    command = [services.runtimes[runtime], HERE / "clients" / program, gate.address, mode]
    seen = output(command, NODE_MODULES=str(services.modules))
    metadata = gate.address.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")
    second = ["records:read", "records:write"] if adds else ["records:write"]
    # That a client asks for `offline_access`, too, is between it and the provider.
    asked = [sorted(set(scopes.split()) - {"offline_access"}) for scopes in seen.pop("asked")]
    expect("asked for", asked, [["records:read"], second])
    expect("given", [sorted(scopes.split()) for scopes in seen.pop("scopes")], [["records:read"], second])
    challenges = [
        f'401 Bearer scope="records:read", resource_metadata="{metadata}"',
        f'403 Bearer error="insufficient_scope", scope="records:write", resource_metadata="{metadata}"',
    ]
    expect("challenged", seen.pop("challenges"), challenges)
    text = lambda text: [{"type": "text", "text": text}]  # noqa: E731
    tools = ["add", "echo"]
    expect("seen", seen, {"listed": tools, "first": text("hello"), "second": text("3"), "then": tools})
    check_decisions(gate)


def check_decisions(gate):
    """The gate wrote down who it was, and by which line the call was refused."""
    while True:
        decision = json.loads(gate.line(r'^{"time"', gate.stdout).string)
        if decision.get("refused") == "insufficient_scope":
            break
    told = decision["principal"], decision["tool"], decision["rule"].split()[-1], decision["outcome"]
    expect("written down", told, ("alice", "add", "tools.add.scopes", "denied"))


def check_opaque(issuer, gate):
    """An opaque token proves whom the provider says, until it is revoked; one for somebody else proves nobody."""
    ours, others = (token(issuer, audience) for audience in ("urn:opaque", "urn:other"))
    expect("called", call(gate, ours), 200)
    expect("written down", json.loads(gate.line(r'"outcome":"ok"', gate.stdout).string)["principal"], "agent")
    expect("called with a token for somebody else", call(gate, others), 401)
    expect("called with a token of nobody", call(gate, "nobody-has-issued-this"), 401)
    form(f"{issuer}/token/revocation", {"token": ours}, "agent")
    expect("called with what was revoked", call(gate, ours), 401)


def secret(client):
    return f"{client}: its secret, with + and %"


def token(issuer, audience):
    asked = {"grant_type": "client_credentials", "resource": audience, "scope": "records:read"}
    return json.loads(form(f"{issuer}/token", asked, "agent"))["access_token"]


def form(url, members, client):
    """A form that a client sends with its secret (RFC 6749, 2.3.1)."""
    credential = ":".join(urllib.parse.quote_plus(part) for part in (client, secret(client)))
    request = urllib.request.Request(url, urllib.parse.urlencode(members).encode())
    request.add_header("authorization", "Basic " + base64.b64encode(credential.encode()).decode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


def call(gate, token):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    headers |= {"authorization": f"Bearer {token}", "mcp-protocol-version": "2025-11-25"}
    try:
        with urllib.request.urlopen(urllib.request.Request(gate.address, json.dumps(body).encode(), headers), timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


def check_paths(gate):
    """What belongs to an authorization server is not there."""
    for path in ELSEWHERE:
        try:
            urllib.request.urlopen(gate.address.removesuffix("/mcp") + path, timeout=10)
            raise Failure(f"something is at {path}")
        except urllib.error.HTTPError as answer:
            expect(path, answer.code, 404)


def expect(what, seen, expected):
    if seen != expected:
        raise Failure(f"{what}: {seen}\nexpected: {expected}")
