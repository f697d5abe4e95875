"""A server on the official Python SDK, for what FastMCP does not offer: listening and mirrored arguments.

Both are of 2026-07-28. Usage: bulletin.py PORT
"""

import sys
from typing import Annotated

from mcp.server.mcpserver import Context, MCPServer
from pydantic import Field

server = MCPServer("bulletin", version="1.0.0")


@server.resource("bulletin://today")
def today() -> str:
    """What is on the board."""
    return "Nothing new."


@server.tool()
def look_at(board: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Board"})]) -> str:
    """Refused by the server unless the `Mcp-Param-Board` header says the same as the argument."""
    return f"{board} is empty"


@server.tool()
async def pin(ctx: Context) -> str:
    """Put something on the board."""
    await ctx.notify_resource_updated("bulletin://today")
    return "pinned"


if __name__ == "__main__":
    server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
