"""An official Python SDK logs in by what the gate tells it, calls a tool, steps up, and calls another one.

Not for judging: prints what it saw, as JSON. Usage: login.py URL SDK, with SDK "1", or the mode of SDK 2 ("legacy", "auto").
"""

import asyncio
import json
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import OAuthClientMetadata

URL, SDK = sys.argv[1:]
BROWSER = Path(__file__).with_name("browser.mjs")
SEEN = {"asked": [], "challenges": [], "scopes": []}


class Person:
    """What an application keeps for the SDK; whoever is to agree does so at once."""

    tokens = client = back = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens
        SEEN["scopes"].append(tokens.scope)

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client

    async def agree(self, url):
        SEEN["asked"].append(parse_qs(urlsplit(url).query)["scope"][0])
        back = subprocess.run(["node", BROWSER, url], capture_output=True, text=True, check=True).stdout
        self.back = {name: value for name, [value] in parse_qs(urlsplit(back).query).items()}

    async def returned(self):
        if SDK == "1":
            return self.back["code"], self.back["state"]
        from mcp.shared.auth import AuthorizationCodeResult

        return AuthorizationCodeResult(code=self.back["code"], state=self.back["state"], iss=self.back["iss"])


async def challenged(response):
    if challenge := response.headers.get("www-authenticate"):
        SEEN["challenges"].append(f"{response.status_code} {challenge}")


class Challenges(OAuthClientProvider):
    """The provider of the SDK, listened to: an event hook would not see what it answers by itself."""

    async def async_auth_flow(self, request):
        flow = super().async_auth_flow(request)
        sent = await anext(flow)
        while True:
            response = yield sent
            await challenged(response)
            try:
                sent = await flow.asend(response)
            except StopAsyncIteration:
                return


@asynccontextmanager
async def connected(http):
    if SDK == "1":
        from mcp import ClientSession

        async with streamable_http_client(URL, http_client=http) as (read, write, _), ClientSession(read, write) as client:
            await client.initialize()
            yield client
    else:
        from mcp import Client

        async with Client(streamable_http_client(URL, http_client=http), mode=SDK, cache=None) as client:
            yield client


async def main():
    person = Person()
    metadata = OAuthClientMetadata(
        client_name="login", redirect_uris=["http://localhost:9/callback"], token_endpoint_auth_method="none"
    )
    auth = Challenges(URL, metadata, person, person.agree, person.returned)
    async with create_mcp_http_client(auth=auth) as http, connected(http) as client:

        async def tools():
            return sorted(tool.name for tool in (await client.list_tools()).tools)

        async def call(name, arguments):
            result = await client.call_tool(name, arguments)
            return [content.model_dump(mode="json", exclude_none=True) for content in result.content]

        SEEN["listed"] = await tools()
        SEEN["first"] = await call("echo", {"text": "hello"})
        SEEN["second"] = await call("add", {"a": 1, "b": 2})
        SEEN["then"] = await tools()
    print(json.dumps(SEEN))


if __name__ == "__main__":
    asyncio.run(main())
