"""Runs a battery through the official Python SDK 1, which knows the handshake era only, and prints what the client saw.

Not for judging: the runner compares transcripts. Usage: python_v1.py URL BATTERY, with a URL that ends
in /sse for HTTP+SSE; extra request headers as JSON in
$HEADERS.
"""

from contextlib import asynccontextmanager

import transcript
from mcp import ClientSession, types
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from transcript import plain

CALLS = transcript.calls(types)


@asynccontextmanager
async def transport(run, url):
    """Both ends, and what says whether there is a session."""

    def client(*given, **options):
        http = create_mcp_http_client(*given, **options)
        http.event_hooks = {"request": [], "response": [run.responded]}
        return http

    if url.endswith("/sse"):
        async with sse_client(url, headers=transcript.HEADERS, httpx_client_factory=client) as (read, write):
            yield read, write, lambda: "the stream"
    else:
        async with (
            client(headers=transcript.HEADERS) as http,
            streamable_http_client(url, http_client=http) as ends,
        ):
            yield ends


async def connect(run, url):
    async with (
        transport(run, url) as (read, write, session_id),
        ClientSession(
            read,
            write,
            client_info=types.Implementation(name="battery", version="1"),
            message_handler=run.notified,
            elicitation_callback=run.answering("elicitation/create", types.ElicitResult),
            sampling_callback=run.answering("sampling/createMessage", types.CreateMessageResult),
            list_roots_callback=run.answering("roots/list", types.ListRootsResult),
        ) as client,
    ):
        hello = await client.initialize()

        async def take(method, params):
            if method == "tools/call":
                arguments = params.get("arguments")
                return plain(await client.call_tool(params["name"], arguments, progress_callback=run.progressed))
            return plain(await CALLS[method](client, params))

        await run.all_steps(take)
        return {
            "protocol": hello.protocolVersion,
            "info": plain(hello.serverInfo),
            "capabilities": plain(hello.capabilities),
            "instructions": hello.instructions,
            "in session": session_id() is not None,
        }


if __name__ == "__main__":
    transcript.main(connect)
