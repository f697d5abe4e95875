"""Runs a battery through the official Python SDK 2 and prints what the client saw, as JSON.

Not for judging: the runner compares transcripts. Usage: python.py URL BATTERY MODE, with MODE as the SDK names it
("legacy", "auto"); extra request headers as JSON in $HEADERS.
"""

import mcp_types as types
import transcript
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from transcript import plain

CALLS = transcript.calls(types)


async def listen(client, params):
    """Subscribe, have the server change something, and wait until the change is told."""
    async with client.listen(resource_subscriptions=[params["uri"]]) as subscription:
        await client.call_tool(params["touch"], {})
        return {"honored": plain(subscription.honored), "event": repr(await anext(subscription))}


async def connect(run, url, mode):
    async with create_mcp_http_client(headers=transcript.HEADERS) as http:
        http.event_hooks = {"request": [], "response": [run.responded]}
        client = Client(
            streamable_http_client(url, http_client=http),
            mode=mode,
            cache=None,
            log_level="info",
            client_info=types.Implementation(name="battery", version="1"),
            message_handler=run.notified,
            elicitation_callback=run.answering("elicitation/create", types.ElicitResult),
            sampling_callback=run.answering("sampling/createMessage", types.CreateMessageResult),
            list_roots_callback=run.answering("roots/list", types.ListRootsResult),
        )

        async def take(method, params):
            if method == "listen":
                return await listen(client, params)
            if method == "tools/call":
                arguments = params.get("arguments")
                return plain(await client.call_tool(params["name"], arguments, progress_callback=run.progressed))
            return plain(await CALLS[method](client, params))

        async with client:
            await run.all_steps(take)
            return {
                "protocol": client.protocol_version,
                "info": plain(client.server_info),
                "capabilities": plain(client.server_capabilities),
                "instructions": client.instructions,
            }


if __name__ == "__main__":
    transcript.main(connect)
