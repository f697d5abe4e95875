"""Assertions: what the gate signs, servers verify with the code of deploy/assertion, and nothing else gets in there.

Not for: what is in an assertion; the gate's own tests have that.
"""

import json
import shutil
import tempfile
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

import jwt
from catcher import Catcher
from services import HERE, KEY, Failure, free_port, wait_for_port

RECIPES = HERE.parents[1] / "deploy/assertion"
ISSUER, AUDIENCE = "https://gate.test/mcp", "https://records.test/mcp"
SETTINGS = """\
admin: {address: '127.0.0.1:%(admin)d'}
servers:
  asserted:
    assertion: {keys: %(keys)s, issuer: '%(issuer)s', audience: '%(audience)s'}
"""
SERVERS = {"python": ("python 1", "asserted.py", "verify.py"), "node": ("node", "asserted.mjs", "verify.mjs")}
WHO = "interop ['everyone']"


def check_all(services, report):
    for language in SERVERS:
        report.check(f"assertion · {language}", partial(check, services, language))


def check(services, language):
    """Through the gate a call is answered; without it, or with what the gate signed for another body, it is not."""
    runtime, program, recipe = SERVERS[language]
    folder, admin, port = Path(tempfile.mkdtemp(dir=services.scratch)), free_port(), free_port()
    for file in (HERE / "servers" / program, RECIPES / recipe):
        shutil.copy(file, folder)
    (folder / "node_modules").symlink_to(services.modules.resolve())
    jwks = f"http://127.0.0.1:{admin}/.well-known/jwks.json"
    command = [services.runtimes[runtime], folder / program, port, jwks, ISSUER, AUDIENCE]
    wait_for_port(services.start(command), port)
    upstream = f"http://127.0.0.1:{port}/mcp"
    keys = [make_key(services, folder / name)[0] for name in ("one", "other")]
    # The second time the other one signs, which was published before: whoever verifies knows it.
    for keys in (keys, keys[::-1]):
        settings = SETTINGS % {"admin": admin, "keys": json.dumps(keys), "issuer": ISSUER, "audience": AUDIENCE}
        with services.gate("asserted", upstream, settings=settings) as gate:
            expect("through the gate", ask(gate.address, {"x-api-key": KEY}), WHO)
    expect("without the gate", ask(upstream, {}), 401)
    expect("forged", ask(upstream, {"x-tollgate-assertion": forged()}), 401)
    with Catcher() as catcher, services.gate("asserted", catcher.address, settings=settings) as gate:
        ask(gate.address, {"x-api-key": KEY})
        headers, body = catcher.calls[0]
        signed = {"x-tollgate-assertion": headers["x-tollgate-assertion"]}
        expect("as it was signed", ask(upstream, signed, body), WHO)
        expect("with another body", ask(upstream, signed, body + b" "), 401)


def make_key(services, path):
    """A key in this file: where it is, and its public half."""
    made = services.start([*services.gate_command, "keys", "signing", "--out", path])
    if made.popen.wait(30):
        raise Failure("no key was made")
    return f"file:{path}", made.rest()[0]


def forged():
    """One without a signature."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "admin", "roles": ["admin"], "exp": 4102444800}
    return jwt.encode(claims, "a secret that is long enough to sign", headers={"typ": "tollgate-assertion+jwt"})


CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}}


def ask(url, headers, body=json.dumps(CALL).encode()):
    """What the tool answers, or the status of a refusal."""
    usual = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2025-06-18",
    }
    request = urllib.request.Request(url, body, {**usual, **headers})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer = json.load(answer)
            return answer["result"]["content"][0]["text"] if "result" in answer else answer
    except urllib.error.HTTPError as refused:
        return refused.code


def expect(what, seen, expected):
    if seen != expected:
        raise Failure(f"{what}: {seen}\nexpected: {expected}")
