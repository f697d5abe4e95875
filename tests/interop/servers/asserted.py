"""A server on the official Python SDK 1 that answers only what the gate has signed, and says who that was.

Usage: asserted.py PORT JWKS_URL ISSUER AUDIENCE, with `verify.py` beside it.
"""

import sys

import uvicorn
from mcp.server.fastmcp import Context, FastMCP
from verify import Assertions, Verified

port, *known = sys.argv[1:]
server = FastMCP("asserted", stateless_http=True, json_response=True)


@server.tool()
def whoami(ctx: Context) -> str:
    """Who asks, and by which roles."""
    caller = ctx.request_context.request.state.caller
    return f"{caller['sub']} {caller['roles']}"


uvicorn.run(Verified(server.streamable_http_app(), Assertions(*known)), port=int(port), log_level="warning")
