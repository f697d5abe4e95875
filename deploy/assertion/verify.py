"""Who calls an MCP server, as the gate says it and signs it. Needs `pip install 'pyjwt[crypto]'` and nothing else.

Copy it beside the server. For a Starlette or FastMCP app: `app = Verified(app, Assertions(JWKS, ISSUER, AUDIENCE))`; a
request that does not come from the gate is answered by 401, and the claims of one that does are in `request.state.caller`.
"""

import asyncio
import hashlib
from base64 import urlsafe_b64encode
from hmac import compare_digest

import jwt

KIND = "tollgate-assertion+jwt"
ALGORITHMS = ["ES256", "EdDSA"]
REQUIRED = ["iss", "sub", "aud", "iat", "exp", "jti", "roles", "body_sha256"]
LEEWAY = 5  # seconds between the clocks of the gate and of this machine
LONGEST_BODY = 16 << 20


class Assertions:
    """Verifies assertions of one gate for one server."""

    def __init__(self, jwks_url, issuer, audience):
        self.keys = jwt.PyJWKClient(jwks_url, lifespan=300, timeout=5)
        self.issuer, self.audience = issuer, audience

    def verify(self, token, body):
        """The claims about who sent exactly this body. Raises `jwt.PyJWTError` if the gate does not say so."""
        if jwt.get_unverified_header(token).get("typ") != KIND:
            raise jwt.InvalidTokenError("a token of another kind")
        claims = jwt.decode(
            token,
            self.keys.get_signing_key_from_jwt(token),
            algorithms=ALGORITHMS,
            issuer=self.issuer,
            audience=self.audience,
            leeway=LEEWAY,
            options={"require": REQUIRED},
        )
        digest = urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
        if not compare_digest(digest, claims["body_sha256"]):
            raise jwt.InvalidTokenError("an assertion about another body")
        return claims


class Verified:
    """ASGI: lets through what the gate has signed, and says who it was."""

    def __init__(self, app, assertions, header="x-tollgate-assertion"):
        self.app, self.assertions, self.header = app, assertions, header.encode()

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        tokens = [value.decode("latin-1") for name, value in scope["headers"] if name == self.header]
        body = await whole(receive)
        # What is not the gate's reaches no tool; so does what it said twice.
        if len(tokens) == 1 and body is not None:
            try:
                # Keys may have to be fetched: not on the thread that serves everybody.
                claims = await asyncio.to_thread(self.assertions.verify, tokens[0].removeprefix("Bearer "), body)
            except jwt.PyJWTError:
                claims = None
            if claims:
                state = {**scope.get("state", {}), "caller": claims}
                return await self.app({**scope, "state": state}, again(body, receive), send)
        await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


async def whole(receive):
    """The body; `None` if it is too long or its sender is gone."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or len(body) > LONGEST_BODY:
            return None
        if not message.get("more_body"):
            return body


def again(body, receive):
    """The body once more, then whatever comes."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message():
        return waiting.pop() if waiting else await receive()

    return next_message
