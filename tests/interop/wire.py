"""Compares what odd requests are answered with, directly and through the gate, and lists where the gate answers itself.

Whatever is not listed must be answered by the server, word for word. Not for: the requests; see clients/probes.py.
"""

import json
from collections import Counter

from compare import masked, output
from services import HERE, Failure

NOTHING = None  # no body to name a code in

# What the gate says itself, to the same request before any server: HTTP status and JSON-RPC code. A probe that stands
# here and is answered by the server after all is a failure too.
REFUSED = {
    # It answers to its own name only, and to a web page only if told so; most servers leave that to others.
    "initialize: Host evil.example": (403, -32600),
    "initialize: Origin evil.example": (403, -32600),
    # Callers are known by their key, except where anonymous ones are let in.
    "initialize: no credential": (401, -32600),
    # There is one path, taken literally: two names for one thing are one too many to write rules for.
    "path /mcp/": (404, -32600),
    "path /nope": (404, -32600),
    "path /mcp?a=b": (400, -32600),
    # And three verbs. A DELETE has to name what it ends.
    "PUT": (405, -32600),
    "OPTIONS": (405, -32600),
    "HEAD": (405, NOTHING),
    "DELETE, no session": (405, -32600),
    "stateless: DELETE": (405, -32600),
    # What it must judge it must be able to read, in one way only.
    "session: batch": (400, -32600),
    "stateless: batch": (400, -32600),
    "session: text/plain": (415, -32600),
    "stateless: text/plain": (415, -32600),
    "initialize: text/plain": (415, -32600),
    "initialize: no content type": (415, -32600),
    "initialize: malformed JSON": (400, -32700),
    "initialize: empty body": (400, -32700),
    "initialize: a JSON string": (400, -32600),
    "initialize: not JSON-RPC": (400, -32600),
    "initialize: 5 MB": (413, -32600),
    # Nobody can be answered who takes neither form of answer.
    "initialize: no Accept": (406, -32600),
    "session: GET, Accept json": (406, -32600),
    # Session ids are its own, so it knows which there are. The server that has none hears of none.
    "unknown session id": (404, -32600),
    "GET, unknown session": (404, -32600),
    "DELETE, unknown session": (404, -32600),
    # An answer is to a question of the server's, and the gate knows which there are.
    "session: an answer to nothing": (400, -32600),
    # A header that says other than the body is how a call would slip past a rule. The codes are the specification's.
    "session: version header 1999-01-01": (400, -32600),
    "stateless: Mcp-Name differs": (400, -32020),
    "stateless: Mcp-Name absent": (400, -32020),
    "stateless: Mcp-Method differs": (400, -32020),
    "stateless: Mcp-Method absent": (400, -32020),
    "stateless: version header differs": (400, -32020),
    "stateless: version header absent": (400, -32020),
    "stateless: all mirrored headers absent": (400, -32020),
    "stateless: version 2099-01-01": (400, -32022),
    "stateless: no _meta": (400, -32602),
    "stateless: no params": (400, -32602),
    # No rule can grant a method that nobody knows, or that the era does not have any more.
    "session: unknown method": (200, -32601),
    "session: unknown notification": (400, -32601),
    "stateless: unknown method": (404, -32601),
    "stateless: removed method ping": (404, -32601),
    "stateless: removed method initialize": (404, -32601),
}

# The same, for servers that begin a session with `initialize`.
REFUSED_IN_SESSIONS = {
    "session: after DELETE": (404, -32600),
    "session: GET after DELETE": (404, -32600),
    "session: DELETE again": (404, -32600),
}

# The same, for servers that do not: there is no session id to send.
REFUSED_WITHOUT_SESSIONS = {
    "session: DELETE": (405, -32600),
    "session: DELETE again": (405, -32600),
}

# A request that the server must be unable to tell from another one: a session id means nothing in the stateless era,
# and the gate has none to put in its place.
SAME = {"stateless: a session id": "stateless: tools/list"}


def answers(services, program, address):
    return output([services.runtimes["python 2"], HERE / "clients" / program, address])


def own(answer, status, code):
    """Whether the answer is the gate's own, and this one."""
    if code is NOTHING:
        return answer["status"] == status and "message" not in answer
    error = answer.get("message", {}).get("error", {})
    marked = (error.get("data") or {}).get("io.tollgate/origin") == "gateway"
    return marked and (answer["status"], error["code"], answer["session"]) == (status, code, False)


def expected(direct, probe):
    """What the server's answer should look like behind the gate."""
    answer = direct[SAME.get(probe, probe)]
    # Some servers give a session id with a refusal, too. There is no such session, so there is no id for it.
    begun = answer["session"] and (answer["status"] < 400 or probe.startswith("session: "))
    return {**answer, "session": begun}


def difference(direct, gated, probe, refused):
    if probe in refused:
        if own(gated[probe], *refused[probe]):
            return None
        wanted = f"the gate's own {refused[probe]}"
    else:
        if masked(gated[probe]) == masked(expected(direct, probe)):
            return None
        wanted = json.dumps(expected(direct, probe))
    return f"{probe}\n  expected: {wanted[:500]}\n  but:      {json.dumps(gated[probe])[:500]}"


def check(services, upstream, gate):
    direct, gated = (answers(services, "probes.py", address) for address in (upstream, gate))
    ending = REFUSED_IN_SESSIONS if direct["initialize"]["session"] else REFUSED_WITHOUT_SESSIONS
    refused = {**REFUSED, **ending}
    if unknown := refused.keys() - direct.keys():
        raise Failure(f"no such probes: {unknown}")
    found = [difference(direct, gated, probe, refused) for probe in direct]
    if wrong := list(filter(None, found)):
        raise Failure("\n".join(wrong))


def check_reconnect(services, upstream, gate):
    """A stream can be opened again as soon as it is closed, wherever the server itself allows it."""
    direct, gated = (answers(services, "reconnect.py", address) for address in (upstream, gate))
    if broken := direct["broken"] + gated["broken"]:
        raise Failure("; ".join(broken))
    told = [Counter(json.dumps(step["seen"][:2]) for step in seen["steps"]) for seen in (direct, gated)]
    if told[0].keys() != told[1].keys():
        raise Failure("directly: {}\nthrough the gate: {}".format(*(dict(each) for each in told)))
