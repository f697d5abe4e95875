"""Runs a battery through the official Python SDK and prints what the client saw, as JSON.

Not for judging: the runner compares transcripts. Usage: python.py URL BATTERY MODE, with MODE as the SDK names it
("legacy", "auto"); extra request headers as JSON in $HEADERS.
"""

import asyncio
import json
import os
import sys
import warnings
from collections import defaultdict

import mcp_types as types
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

ARRIVAL_TIMEOUT = 15
REFERENCES = {"ref/prompt": types.PromptReference, "ref/resource": types.ResourceTemplateReference}

CALLS = {
    "ping": lambda client, _: client.send_ping(),
    "logging/setLevel": lambda client, params: client.set_logging_level(params["level"]),
    "tools/list": lambda client, _: client.list_tools(),
    "resources/list": lambda client, _: client.list_resources(),
    "resources/templates/list": lambda client, _: client.list_resource_templates(),
    "resources/read": lambda client, params: client.read_resource(params["uri"]),
    "resources/subscribe": lambda client, params: client.subscribe_resource(params["uri"]),
    "resources/unsubscribe": lambda client, params: client.unsubscribe_resource(params["uri"]),
    "prompts/list": lambda client, _: client.list_prompts(),
    "prompts/get": lambda client, params: client.get_prompt(params["name"], params.get("arguments")),
    "completion/complete": lambda client, params: client.complete(
        REFERENCES[params["ref"]["type"]].model_validate(params["ref"]),
        params["argument"],
        params.get("context", {}).get("arguments"),
    ),
}


def plain(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


class Run:
    """One client's way through a battery: what arrived, in order, and what it answered."""

    def __init__(self, battery):
        self.battery = battery
        self.events = []
        self.background = defaultdict(asyncio.Queue)
        self.wire = set()
        self.broken = []

    def saw(self, method, params):
        if method in self.battery["background"]:
            self.background[method].put_nowait(params)
        else:
            self.events.append({"method": method, "params": params})

    def answering(self, method, result_type):
        async def answer(_context, params=None):
            self.saw(method, plain(params) if params else {})
            return result_type.model_validate(self.battery["answers"][method])

        return answer

    async def notified(self, message):
        if isinstance(message, Exception):
            self.saw("exception", repr(message))
        elif message.method != "notifications/progress":
            self.saw(message.method, plain(message.params) if message.params else {})

    async def progressed(self, progress, total, message):
        self.saw("notifications/progress", {"progress": progress, "total": total, "message": message})

    async def responded(self, response):
        request = response.request
        method = json.loads(request.content).get("method", "answer") if request.method == "POST" else ""
        kept = [response.headers.get(name, "-") for name in ("content-type", "cache-control")]
        self.wire.add(" ".join([request.method, method, str(response.status_code), *kept]))

    async def take(self, client, method, params):
        if method == "await":
            return await self.arrival(params)
        if method == "tools/call":
            call = client.call_tool(params["name"], params.get("arguments"), progress_callback=self.progressed)
        elif method == "listen":
            return await self.listen(client, params)
        else:
            call = CALLS[method](client, params)
        return plain(await call)

    async def arrival(self, method):
        try:
            return await asyncio.wait_for(self.background[method].get(), ARRIVAL_TIMEOUT)
        except TimeoutError:
            self.broken.append(f"{method} did not come")

    async def listen(self, client, params):
        """Subscribe, have the server change something, and wait until the change is told."""
        async with client.listen(resource_subscriptions=[params["uri"]]) as subscription:
            await client.call_tool(params["touch"], {})
            return {"honored": plain(subscription.honored), "event": repr(await anext(subscription))}

    async def step(self, client, method, params=None):
        self.events = []
        try:
            outcome = {"result": await self.take(client, method, params)}
        except MCPError as error:
            outcome = {"error": plain(error.error)}
        except Exception as error:  # what the SDK itself makes of a reply is part of what its user sees
            outcome = {"exception": f"{type(error).__name__}: {error}"}
        return {"step": [method, params], "events": self.events, **outcome}


async def main(url, battery, mode):
    run = Run(battery)
    async with create_mcp_http_client(headers=json.loads(os.environ.get("HEADERS", "{}"))) as http:
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
        async with client:
            server = {
                "protocol": client.protocol_version,
                "info": plain(client.server_info),
                "capabilities": plain(client.server_capabilities),
                "instructions": client.instructions,
            }
            steps = [await run.step(client, *step) for step in battery["steps"]]
    return {"server": server, "steps": steps, "wire": sorted(run.wire), "broken": run.broken}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    address, path, how = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        print(json.dumps(asyncio.run(main(address, json.load(file), how))))
