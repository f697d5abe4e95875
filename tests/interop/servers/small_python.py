"""The small server on the official Python SDK 1, and on FastMCP 3: the handshake era only, in sessions.

The same few things as the other small servers, so that one battery fits them all. Usage: small_python.py PORT LIBRARY,
with LIBRARY "sdk" or "fastmcp", or "sdk-sse": the first over HTTP+SSE of 2024-11-05
"""

import sys
from typing import Annotated

from pydantic import BaseModel, Field

PORT, LIBRARY = int(sys.argv[1]), sys.argv[2]

if LIBRARY in ("sdk", "sdk-sse"):
    from mcp.server.fastmcp import Context, FastMCP

    server = FastMCP("small", host="127.0.0.1", port=PORT, log_level="WARNING")
else:
    from fastmcp import Context, FastMCP

    server = FastMCP("small", version="1.0.0")


class Sum(BaseModel):
    result: int


class Caller(BaseModel):
    name: str


@server.tool()
def echo(text: str) -> str:
    """The text."""
    return text


@server.tool()
def add(a: int, b: Annotated[int, Field(ge=0)]) -> Sum:
    """The sum."""
    return Sum(result=a + b)


@server.tool()
async def count_up(to: int, ctx: Context) -> str:
    """Report progress and a log line for every number on the way."""
    for n in range(1, to + 1):
        await ctx.report_progress(n, to, f"at {n}")
        await ctx.info(f"counted {n}")
    return f"counted to {to}"


@server.tool()
def fail(message: str) -> str:
    """Always goes wrong, and says so."""
    raise ValueError(message)


@server.tool()
async def ask(ctx: Context) -> str:
    """Ask for a name by elicitation."""
    answer = await ctx.elicit("Who are you?", Caller)
    return f"{answer.action}: {getattr(answer, 'data', None)!r}"


@server.tool()
def repeat(text: str, times: int) -> str:
    """The text, many times over."""
    return text * times


@server.tool()
def version(ctx: Context) -> str:
    """The protocol version that the request said it was of."""
    return ctx.request_context.request.headers.get("mcp-protocol-version", "none")


@server.resource("small://note")
def note() -> str:
    """A note."""
    return "Nothing of note."


@server.prompt()
def review(record: str) -> str:
    """Have a record reviewed."""
    return f"Review {record}."


if __name__ == "__main__":
    if LIBRARY == "sdk":
        server.run(transport="streamable-http")
    elif LIBRARY == "sdk-sse":
        server.run(transport="sse")
    else:
        server.run(transport="http", host="127.0.0.1", port=PORT, show_banner=False, log_level="warning")
