"""Runs a battery through the official Python SDK 1, which knows the handshake era only, and prints what the client saw.

Not for judging: the runner compares transcripts. Usage: python_v1.py URL BATTERY; extra request headers as JSON in
$HEADERS.
"""

import transcript
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from transcript import plain

CALLS = transcript.calls(types)


async def connect(run, url):
    http = create_mcp_http_client(headers=transcript.HEADERS)
    http.event_hooks = {"request": [], "response": [run.responded]}
    async with (
        http,
        streamable_http_client(url, http_client=http) as (read, write, session_id),
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
