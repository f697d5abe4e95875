"""Runs a battery through the client of FastMCP 3 or 4, whichever is installed, and prints what its user saw, as JSON.

Not for judging: the runner compares transcripts. Usage: fastmcp_client.py URL BATTERY [MODE], with MODE ("legacy",
"auto") for FastMCP 4; extra request headers as JSON in $HEADERS.
"""

import transcript
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from transcript import plain

try:
    import mcp_types as types
except ImportError:  # FastMCP 3
    from mcp import types

REFERENCES = {"ref/prompt": types.PromptReference, "ref/resource": types.ResourceTemplateReference}

CALLS = {
    "ping": lambda client, _: client.ping(),
    "logging/setLevel": lambda client, params: client.set_logging_level(params["level"]),
    "tools/list": lambda client, _: client.list_tools(),
    "resources/list": lambda client, _: client.list_resources(),
    "resources/templates/list": lambda client, _: client.list_resource_templates(),
    "resources/read": lambda client, params: client.read_resource(params["uri"]),
    "resources/subscribe": lambda client, params: client.session.subscribe_resource(params["uri"]),
    "resources/unsubscribe": lambda client, params: client.session.unsubscribe_resource(params["uri"]),
    "prompts/list": lambda client, _: client.list_prompts(),
    "prompts/get": lambda client, params: client.get_prompt(params["name"], params.get("arguments")),
    "completion/complete": lambda client, params: client.complete(
        REFERENCES[params["ref"]["type"]].model_validate(params["ref"]),
        params["argument"],
        params.get("context", {}).get("arguments"),
    ),
}


def shown(value):
    """What a call gave, models in the form they have on the wire, anything else as Python shows it."""
    if isinstance(value, list):
        return [shown(item) for item in value]
    return plain(value) if hasattr(value, "model_dump") else repr(value)


def http_client(run):
    def create(**settings):
        # The two versions stand on two HTTP libraries, and each SDK has the right one.
        from mcp.shared._httpx_utils import create_mcp_http_client

        settings.pop("follow_redirects", None)
        http = create_mcp_http_client(**settings)
        http.event_hooks = {"request": [], "response": [run.responded]}
        return http

    return create


def handlers(run):
    async def elicited(_message, _type, params, _context):
        run.saw("elicitation/create", plain(params))
        return types.ElicitResult.model_validate(run.battery["answers"]["elicitation/create"])

    async def sampled(_messages, params, _context):
        run.saw("sampling/createMessage", plain(params))
        return types.CreateMessageResult.model_validate(run.battery["answers"]["sampling/createMessage"])

    async def rooted(_context):
        run.saw("roots/list", {})
        return types.ListRootsResult.model_validate(run.battery["answers"]["roots/list"]).roots

    async def logged(_message):  # the message handler records it; the default one prints
        pass

    return {"elicitation_handler": elicited, "sampling_handler": sampled, "roots": rooted, "log_handler": logged}


async def connect(run, url, *mode):
    transport = StreamableHttpTransport(url, headers=transcript.HEADERS, httpx_client_factory=http_client(run))
    settings = {"mode": mode[0]} if mode else {}
    info = types.Implementation(name="battery", version="1")
    client = Client(transport, client_info=info, message_handler=run.notified, **handlers(run), **settings)

    async def take(method, params):
        if method != "tools/call":
            return shown(await CALLS[method](client, params))
        arguments = params.get("arguments")
        called = client.call_tool(params["name"], arguments, progress_handler=run.progressed, raise_on_error=False)
        return {name: shown(value) for name, value in vars(await called).items()}

    async with client:
        await run.all_steps(take)
        hello = client.initialize_result
        if hello is None:
            return {"protocol": client.protocol_version, "info": plain(client.server_info)}
        return {"protocol": getattr(client, "protocol_version", None) or hello.protocolVersion, "hello": plain(hello)}


if __name__ == "__main__":
    transcript.main(connect)
