"""One client's way through a battery, in Python: what arrived, in order, and what came out of each step.

Shared by the clients on the Python SDKs. Not for: starting any SDK, or judging.
"""

import asyncio
import json
import os
import sys
import warnings
from collections import defaultdict

ARRIVAL_TIMEOUT = 15
HEADERS = json.loads(os.environ.get("HEADERS", "{}"))


def plain(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def calls(types):
    """Each method as the official SDKs have it, of which `types` is one's words for the protocol."""
    references = {"ref/prompt": types.PromptReference, "ref/resource": types.ResourceTemplateReference}
    return {
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
            references[params["ref"]["type"]].model_validate(params["ref"]),
            params["argument"],
            params.get("context", {}).get("arguments"),
        ),
    }


class Run:
    """The record, and the answers that the battery has for a server's questions."""

    def __init__(self, battery):
        self.battery = battery
        self.events = []
        self.background = defaultdict(asyncio.Queue)
        self.wire = set()
        self.steps = []
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
        """Records a notification, whole or in the SDK's wrapping. Requests and progress have handlers of their own."""
        message = getattr(message, "root", message)
        method = getattr(message, "method", None)
        if isinstance(message, Exception):
            self.saw("exception", repr(message))
        elif method and method.startswith("notifications/") and method != "notifications/progress":
            self.saw(method, plain(message.params) if message.params else {})

    async def progressed(self, progress, total, message, *_):
        self.saw("notifications/progress", {"progress": progress, "total": total, "message": message})

    async def responded(self, response):
        """A hook for the HTTP client: what each kind of request was answered with."""
        request = response.request
        method = json.loads(request.content).get("method", "answer") if request.method == "POST" else "-"
        kept = [response.headers.get(name, "-") for name in ("content-type", "cache-control")]
        version = request.headers.get("mcp-protocol-version", "-")
        self.wire.add(" ".join([request.method, method, version, str(response.status_code), *kept]))

    async def arrival(self, method):
        try:
            return await asyncio.wait_for(self.background[method].get(), ARRIVAL_TIMEOUT)
        except TimeoutError:
            self.broken.append(f"{method} did not come")

    async def step(self, take, method, params=None):
        """One step: `take(method, params)` gives the result in plain data."""
        self.events = []
        try:
            taken = self.arrival(params) if method == "await" else take(method, params)
            outcome = {"result": await taken}
        except Exception as error:  # what the SDK itself makes of a reply is part of what its user sees
            error = innermost(error)
            outcome = {"exception": f"{type(error).__name__}: {error}"}
            if said := getattr(error, "error", None):
                outcome["error"] = plain(said)
        self.steps.append({"step": [method, params], "events": self.events, **outcome})

    async def all_steps(self, take):
        for step in self.battery["steps"]:
            await self.step(take, *step)


def main(connect):
    """Runs the program: `connect(run, url, mode)` gives what the server said of itself."""
    warnings.simplefilter("ignore")
    url, path, *mode = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        run = Run(json.load(file))
    try:
        server = asyncio.run(connect(run, url, *mode))
    except Exception as error:  # a refused connection is an outcome to compare, too
        error = innermost(error)
        server = {"refused": f"{type(error).__name__}: {error}"}
    print(json.dumps({"server": server, "steps": run.steps, "wire": sorted(run.wire), "broken": run.broken}))


def innermost(error):
    while getattr(error, "exceptions", None):
        error = error.exceptions[0]
    return error
