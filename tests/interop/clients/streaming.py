"""Sees by hand, with the scripted server, that streams flow: at once, part by part, and until either side ends them.

Not for: single replies; see raw.py. Usage: streaming.py URL, extra request headers as JSON in $HEADERS.
"""

import hashlib

from by_hand import MODERN, handshake, part, tell

STREAMS = 8
PARTS = 4
LONG = 2 << 20


def head_before_body(raw):
    """A reply's head comes while the server has nothing to say yet."""
    connection, stream = raw.call("pause", meta={"progressToken": "pause"})
    raw.record("head", stream.status, stream.getheader("content-type"))
    raw.whole("acknowledge", raw.call("acknowledge", {"token": "pause", "part": 1}))
    raw.record("rest", stream.read().decode())
    connection.close()


def quiet_listening(raw):
    """A listening stream's head comes though nothing follows it; comments come, and nothing ends it."""
    raw.whole("quiet", raw.call("quiet"))
    connection, stream = raw.open("GET", Accept="text/event-stream")
    raw.record("head", stream.status, stream.getheader("content-type"))
    for number in range(5):
        raw.whole("comment", raw.call("comment", {"text": f"still {number}"}))
        raw.record("heard", part(stream))
    raw.whole("say", raw.call("say", {"text": "at last"}))
    raw.record("heard", part(stream))
    stream.close()
    connection.close()
    raw.whole("the server saw it close", raw.call("hush"))


def streams_side_by_side(raw):
    """Many streams in step: no part waits for another stream, or goes to one."""
    calls = [raw.call("drip", {"parts": PARTS}, {"progressToken": f"t{n}"}) for n in range(STREAMS)]
    for number in range(1, PARTS + 1):
        for n, (_, stream) in enumerate(calls):
            raw.record(f"part {number} of {n}", part(stream))
        for n, (_, stream) in reversed(list(enumerate(calls))):
            raw.whole("acknowledge", raw.call("acknowledge", {"token": f"t{n}", "part": number}))
            raw.record(f"comment {number} of {n}", part(stream))
    for n, (connection, stream) in enumerate(calls):
        raw.record(f"rest of {n}", stream.read().decode())
        connection.close()


def long_bodies(raw):
    """Two megabytes each way, as a body and as one event."""
    raw.whole("there", raw.call("measure", {"text": "0123456789abcdé " * (LONG // 17)}))
    for streamed in (False, True):
        connection, response = raw.call("large", {"bytes": LONG, "streamed": streamed})
        body = response.read()
        raw.record("back", response.status, len(body), hashlib.sha256(body).hexdigest())
        connection.close()


def hanging_up_in_session(raw):
    connection, stream = raw.call("hold")
    raw.record("hold", stream.status, part(stream))
    stream.close()
    connection.close()
    raw.whole("held", raw.call("held"))


def cancelling(raw):
    """The notification reaches the server with the id of the call, and the call's stream ends without an answer."""
    connection, stream = raw.call("hold")
    raw.record("hold", stream.status, part(stream))
    wanted = {"requestId": raw.last_id, "reason": "enough"}
    raw.whole("cancel", raw.post("notifications/cancelled", wanted))
    raw.whole("held", raw.call("held"))
    raw.record("rest", stream.read().decode())
    connection.close()


def hanging_up_beside_others(raw):
    """A caller of the stateless era who hangs up in the middle leaves the others' streams alone."""
    named = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": "tools/call"}
    kept, stream = raw.call("drip", {"parts": 2}, {**MODERN, "progressToken": "kept"}, Mcp_Name="drip", **named)
    raw.record("kept", part(stream))
    gone, other = raw.call("hold", meta=MODERN, Mcp_Name="hold", **named)
    raw.record("hold", other.status, part(other))
    other.close()
    gone.close()
    raw.whole("held", raw.call("held", meta=MODERN, Mcp_Name="held", **named))
    for number in (1, 2):
        told = {"token": "kept", "part": number}
        raw.whole("acknowledge", raw.call("acknowledge", told, MODERN, Mcp_Name="acknowledge", **named))
    raw.record("rest of kept", stream.read().decode())
    kept.close()


if __name__ == "__main__":
    tell(
        *(handshake, head_before_body, quiet_listening, streams_side_by_side, long_bodies),
        *(hanging_up_in_session, cancelling, hanging_up_beside_others),
    )
