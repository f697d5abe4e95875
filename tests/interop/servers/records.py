"""The FastMCP server that the clients meet: one small example of everything a server can offer.

Speaks 2025-11-25 and 2026-07-28. Not for: load, or anything that depends on a clock. Usage: records.py PORT
"""

import sys
from dataclasses import dataclass

import mcp_types as types
from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.dependencies import get_http_headers
from fastmcp.utilities.types import Image

server = FastMCP("records", version="1.0.0", instructions="Search before you ask for details.")

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000a49444154789c63000100000500010d0a2db40000000049454e44ae426082"
)
NAME_FORM = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@dataclass
class Record:
    id: int
    title: str


@dataclass
class Caller:
    name: str


@server.tool(annotations={"readOnlyHint": True}, tags={"records"}, meta={"example.org/cost": 1})
def search_records(query: str, limit: int = 2, filters: dict[str, str] | None = None) -> list[Record]:
    """Find records whose title holds the query – naïve, but in any script: 記録, سجل, 🗃."""
    return [Record(n, f"{query} {n}") for n in range(1, limit + 1)]


@server.tool
def draw() -> Image:
    """One transparent pixel."""
    return Image(data=PIXEL, format="png")


@server.tool
async def count_up(to: int, ctx: Context) -> str:
    """Report progress and a log line for every number on the way."""
    for n in range(1, to + 1):
        await ctx.report_progress(n, to, f"at {n}")
        await ctx.info(f"counted {n}")
    return f"counted to {to}"


@server.tool
def fail() -> str:
    """Always goes wrong, and says so."""
    raise ToolError("the records are out for binding")


@server.tool
def repeat(text: str, times: int) -> str:
    """The text, many times over."""
    return text * times


@server.tool
def version() -> str:
    """The protocol version that the request said it was of."""
    return get_http_headers(include_all=True).get("mcp-protocol-version", "none")


# A server of the handshake era asks its client in the middle of a call; one of the stateless era hands the
# question back as the result and is called again with the answer. Each way is an error in the other era.


@server.tool
async def greet(ctx: Context) -> str:
    """Ask for a name by elicitation, then greet."""
    answer = await ctx.elicit("Who are you?", Caller)
    return f"{answer.action}: {getattr(answer, 'data', None)}"


@server.tool
async def summarise(text: str, ctx: Context) -> str:
    """Have the client's model summarise."""
    answer = await ctx.session.create_message(
        [types.SamplingMessage(role="user", content=types.TextContent(text=f"Summarise: {text}"))],
        max_tokens=50,
        related_request_id=ctx.request_id,
    )
    return answer.content.text


@server.tool
async def greet_and_summarise(ctx: Context) -> str:
    """Ask for a name and for a model's words in one go, by an input-required result."""
    if not ctx.input_responses:
        return types.InputRequiredResult(
            input_requests={
                "name": types.ElicitRequest(
                    params=types.ElicitRequestFormParams(message="Who are you?", requested_schema=NAME_FORM)
                ),
                "words": types.CreateMessageRequest(
                    params=types.CreateMessageRequestParams(
                        messages=[types.SamplingMessage(role="user", content=types.TextContent(text="Say hello"))],
                        max_tokens=50,
                    )
                ),
            },
            request_state="round two",
        )
    answers = ctx.input_responses
    return f"{ctx.request_state}: {answers['name'].content} {answers['words'].content.text}"


@server.resource("records://rules", mime_type="text/markdown")
def rules() -> str:
    """The house rules."""
    return "# Rules\nNo ink near the records.\n"


@server.resource("records://seal", mime_type="image/png")
def seal() -> bytes:
    """The seal, as bytes."""
    return PIXEL


@server.resource("records://{year}/index")
def index(year: int) -> str:
    """What was filed in a year."""
    return f"Nothing was filed in {year}."


@server.prompt
def review(record: str, tone: str = "kind") -> list[str]:
    """Have a record reviewed."""
    return [f"Review {record}.", f"Be {tone}."]


@server.completion
def complete(ref, argument, context):
    """Tones that begin as typed."""
    return [tone for tone in ("kind", "keen", "blunt") if tone.startswith(argument.value)]


if __name__ == "__main__":
    server.run(transport="http", host="127.0.0.1", port=int(sys.argv[1]), show_banner=False, log_level="warning")
