"""Uses a server's tools as a LangChain agent would, by langchain-mcp-adapters, and prints what came back, as JSON.

Takes those steps of a battery that LangChain has an equivalent for: tools, prompts, resources; every call opens a
session of its own. Not for judging: the runner compares transcripts. Usage: langchain_tools.py URL BATTERY; extra
request headers as JSON in $HEADERS.
"""

import transcript
from langchain_mcp_adapters.callbacks import Callbacks
from langchain_mcp_adapters.client import MultiServerMCPClient
from mcp import types
from mcp.shared._httpx_utils import create_mcp_http_client
from transcript import plain

STEPS = ("tools/list", "tools/call", "prompts/get", "resources/read")


def callbacks(run):
    async def logged(params, _context):
        run.saw("notifications/message", plain(params))

    async def elicited(_mcp_context, params, _context):
        run.saw("elicitation/create", plain(params))
        return types.ElicitResult.model_validate(run.battery["answers"]["elicitation/create"])

    return Callbacks(on_logging_message=logged, on_progress=run.progressed, on_elicitation=elicited)


def message(said):
    """A LangChain message without the ids that LangChain makes up."""
    return {name: said.get(name) for name in ("type", "content", "artifact", "status")}


def without_ids(content):
    if isinstance(content, list):
        return [without_ids(item) for item in content]
    if isinstance(content, dict):
        return {name: without_ids(value) for name, value in content.items() if name != "id"}
    return content


async def connect(run, url):
    def http_client(**settings):
        http = create_mcp_http_client(**settings)
        http.event_hooks = {"request": [], "response": [run.responded]}
        return http

    connection = {
        "transport": "streamable_http",
        "url": url,
        "headers": transcript.HEADERS,
        "httpx_client_factory": http_client,
    }
    client = MultiServerMCPClient({"server": connection}, callbacks=callbacks(run))
    tools = {tool.name: tool for tool in await client.get_tools()}

    async def take(method, params):
        if method == "tools/list":
            return [[tool.name, tool.description, tool.args_schema, tool.metadata] for tool in tools.values()]
        if method == "tools/call":
            call = {"type": "tool_call", "id": "1", "name": params["name"], "args": params.get("arguments", {})}
            return without_ids(message((await tools[params["name"]].ainvoke(call)).model_dump(mode="json")))
        if method == "prompts/get":
            said = await client.get_prompt("server", params["name"], arguments=params.get("arguments"))
            return [message(each.model_dump(mode="json")) for each in said]
        blobs = await client.get_resources("server", uris=params["uri"])
        return [[blob.mimetype, repr(blob.data)] for blob in blobs]

    for method, params in ((each[0], each[1] if each[1:] else None) for each in run.battery["steps"]):
        if method in STEPS:
            await run.step(take, method, params)
    [protocol] = {entry.split()[2] for entry in run.wire if not entry.startswith("POST initialize")}
    return {"protocol": protocol}


if __name__ == "__main__":
    transcript.main(connect)
