"""A token of the gate's own: a real token endpoint gives it, by each way in which the gate can prove which client it is.

Not for: what the gate does when the endpoint fails; its own tests have that.
"""

import tempfile
from functools import partial
from pathlib import Path

import jwt
from assertion import ask, expect, make_key
from catcher import Catcher
from services import HERE, KEY, Failure, free_port, wait_for_port

RESOURCE = "https://records.test/mcp"
SECRET = "s3cret+/%:&=~"
SETTINGS = """\
servers:
  records:
    credential:
      client_credentials:
        token_url: http://127.0.0.1:%(port)d/token
        client_id: %(method)s
        %(proof)s
        scopes: ["records:read"]
        resource: %(resource)s
        allow_addresses: [127.0.0.1/32]
"""
METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt"]


def check_all(services, report):
    names = {f"credential · {method}": method for method in METHODS}
    if not any(map(report.wants, names)):
        return
    folder, port = Path(tempfile.mkdtemp(dir=services.scratch)), free_port()
    key, jwks = make_key(services, folder / "key")
    (folder / "secret").write_text(SECRET)
    command = [services.runtimes["node"], HERE / "servers/token_endpoint.mjs", port, RESOURCE, jwks]
    wait_for_port(services.start(command, NODE_MODULES=str(services.modules)), port)
    for name, method in names.items():
        report.check(name, partial(check, services, port, method, key, f"file:{folder / 'secret'}"))


def check(services, port, method, key, secret):
    """The server gets a token that the endpoint has signed for it, and that it gave to this client."""
    shown = f'token_endpoint_auth_method: {method}\n        client_secret: "{secret}"'
    proof = f'private_key: "{key}"' if method == "private_key_jwt" else shown
    settings = SETTINGS % {"port": port, "method": method, "proof": proof, "resource": RESOURCE}
    with Catcher() as server, services.gate("records", server.address, settings=settings) as gate:
        answer = ask(gate.address, {"x-api-key": KEY})
        if not server.calls:
            raise Failure(f"nothing came: {answer}; the gate says:\n" + "\n".join(filter(None, gate.stderr.queue)))
        token = server.calls[0][0]["authorization"].removeprefix("Bearer ")
    issuer = f"http://127.0.0.1:{port}"
    published = jwt.PyJWKClient(f"{issuer}/jwks").get_signing_key_from_jwt(token)
    claims = jwt.decode(token, published, algorithms=["RS256"], audience=RESOURCE, issuer=issuer)
    expect("given", (claims["client_id"], claims["scope"]), (method, "records:read"))

