"""A server on the official Python SDK that tells its listeners what changed, which FastMCP does not yet offer.

Speaks `subscriptions/listen` (2026-07-28) only. Usage: bulletin.py PORT
"""

import sys

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("bulletin", version="1.0.0")


@server.resource("bulletin://today")
def today() -> str:
    """What is on the board."""
    return "Nothing new."


@server.tool()
async def pin(ctx: Context) -> str:
    """Put something on the board."""
    await ctx.notify_resource_updated("bulletin://today")
    return "pinned"


if __name__ == "__main__":
    server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
