"""Talks to the scripted server by hand and prints every byte that came back, as JSON.

Each event of a stream is asked for only after the one before was seen, so a gate that holds back a part of a reply
runs into the deadline. Usage: raw.py URL, extra request headers as JSON in $HEADERS.
"""

import hashlib

from by_hand import MODERN, handshake, part, tell


def streamed_reply(raw):
    parts = 6
    connection, stream = raw.call("drip", {"parts": parts}, {"progressToken": "t"})
    raw.record("drip", stream.status, stream.getheader("content-type"), stream.getheader("cache-control"))
    for number in range(1, parts + 1):
        raw.record(f"part {number}", part(stream))
        raw.whole(f"acknowledge {number}", raw.call("acknowledge", {"token": "t", "part": number}))
        raw.record(f"comment {number}", part(stream))
    raw.record("rest", stream.read().decode())
    connection.close()


def whole_replies(raw):
    raw.whole("list", raw.post("tools/list"))
    raw.whole("numbers", raw.call("numbers"))
    _, response = raw.call("large", {"bytes": 1 << 20})
    body = response.read()
    raw.record("large", response.status, len(body), hashlib.sha256(body).hexdigest())


def listening(raw):
    first, stream = raw.open("GET", Accept="text/event-stream")
    raw.record("GET", stream.status, part(stream), part(stream))
    raw.whole("say one", raw.call("say", {"text": "one"}))
    raw.record("heard", part(stream))
    raw.whole("second GET beside it", raw.open("GET", Accept="text/event-stream"))
    stream.close()
    first.close()
    raw.whole("the server saw it close", raw.call("hush"))
    raw.whole("say two", raw.call("say", {"text": "two"}))
    second, stream = raw.open("GET", Accept="text/event-stream", Last_Event_ID="1")
    raw.record("GET again", stream.status, part(stream), part(stream), part(stream))
    stream.close()
    second.close()
    raw.whole("closed again", raw.call("hush"))


def goodbye(raw):
    raw.whole("DELETE", raw.open("DELETE"))
    connection, response = raw.call("numbers")  # who says that the session is gone, and how, may differ
    raw.record("after DELETE", response.status)
    connection.close()
    raw.session = {}


def hanging_up(raw):
    """In the stateless era a caller cancels by hanging up."""
    named = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": "tools/call"}
    connection, stream = raw.call("hold", meta=MODERN, Mcp_Name="hold", **named)
    raw.record("hold", stream.status, part(stream))
    stream.close()
    connection.close()
    raw.whole("held", raw.call("held", meta=MODERN, Mcp_Name="held", **named))


if __name__ == "__main__":
    tell(handshake, streamed_reply, whole_replies, listening, goodbye, hanging_up)
