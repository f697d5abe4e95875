"""What the scripted server's tools do, and what the requests of one client have to know of each other.

Not for: HTTP or sessions; see scripted.py.
"""

import hashlib
import json
import socket
import threading

PATIENCE = 10  # seconds until a wait is given up; nothing here waits for time to pass
NUMBERS = b'{"exact":12345678901234567890123, "spelt":1.0E+2,\n "escaped":"\\u00e9\\/", "b":1, "a":2}'


def event(number, message, ending=b"\n"):
    lines = [b": part %d" % number, b"event: message", b"id: part-%d" % number, b"data: " + message]
    return ending.join([*lines, b"", b""])


class State:
    """What is known of the one session that there is at a time."""

    def __init__(self):
        self.changed = threading.Condition()
        self.begin(None)

    def begin(self, session):
        """A new session starts with nothing said."""
        self.session = session
        self.acknowledged = {}  # by progress token: the number of the last part that the client has
        self.said = []  # what goes out on the GET stream, in bytes, by number
        self.quiet = False  # whether a GET stream begins without a word
        self.listener = None  # the socket that wakes the one open GET
        self.holder = None  # the socket that wakes the one held call
        self.held = None  # how it ended

    def set(self, name, value):
        with self.changed:
            setattr(self, name, value)
            self.changed.notify_all()

    def acknowledge(self, token, number):
        with self.changed:
            self.acknowledged[token] = number
            self.changed.notify_all()

    def wait(self, condition):
        with self.changed:
            return self.changed.wait_for(condition, PATIENCE)

    def say(self, data):
        self.said.append(data)
        if self.listener:
            self.listener.send(b".")


STATE = State()


class Tools:
    """One method for each; the handler that this is mixed into sends what they say."""

    NAMES = (
        *("drip", "pause", "acknowledge", "numbers", "large", "measure"),
        *("say", "comment", "quiet", "hush", "hold", "held", "reflect"),
    )

    def progress(self, request, number):
        token = request["params"]["_meta"]["progressToken"]
        params = {"progressToken": token, "progress": number}
        return json.dumps({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}).encode()

    def acknowledged(self, request, number):
        token = request["params"]["_meta"]["progressToken"]
        STATE.wait(lambda: STATE.acknowledged.get(token, 0) >= number)

    def drip(self, request, arguments):
        """Events one by one; the next one only after the client told that it has the last one."""
        STATE.acknowledge(request["params"]["_meta"]["progressToken"], 0)
        self.open_stream()
        for number in range(1, arguments["parts"] + 1):
            self.part(event(number, self.progress(request, number), b"\r\n" if number % 2 else b"\n"))
            self.acknowledged(request, number)
            self.part(b": still %d\n\n" % number)
        answer = {"jsonrpc": "2.0", "id": request["id"], "result": {"content": []}}
        self.part(event(0, b"\ndata: ".join(json.dumps(answer, indent=1).encode().splitlines())))
        self.part(b"")

    def pause(self, request, _arguments):
        """A head, and nothing else until the client told that it has it."""
        self.open_stream()
        self.acknowledged(request, 1)
        answer = {"jsonrpc": "2.0", "id": request["id"], "result": {"content": []}}
        self.part(event(1, json.dumps(answer).encode()))
        self.part(b"")

    def acknowledge(self, request, arguments):
        STATE.acknowledge(arguments.get("token"), arguments["part"])
        self.text(request, "thank you")

    def numbers(self, request, _arguments):
        """JSON that changes when it is read and written again."""
        self.result(request, b'{"content":[], "structuredContent":' + NUMBERS + b"}")

    def large(self, request, arguments):
        """A long text, in one event of a stream if asked for so."""
        digests = "".join(hashlib.sha256(b"%d" % n).hexdigest() for n in range(arguments["bytes"] // 64))
        if not arguments.get("streamed"):
            return self.text(request, digests)
        result = {"content": [{"type": "text", "text": digests}]}
        self.open_stream()
        self.part(event(1, json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode()))
        self.part(b"")

    def measure(self, request, arguments):
        text = arguments["text"].encode()
        self.text(request, f"{len(text)} {hashlib.sha256(text).hexdigest()}")

    def say(self, request, arguments):
        params = {"level": "info", "data": arguments["text"]}
        message = {"jsonrpc": "2.0", "method": "notifications/message", "params": params}
        number = len(STATE.said) + 1
        STATE.say(b"id: %d\ndata: %s\n\n" % (number, json.dumps(message).encode()))
        self.text(request, "said")

    def comment(self, request, arguments):
        STATE.say(b": %s\n\n" % arguments["text"].encode())
        self.text(request, "said")

    def quiet(self, request, _arguments):
        STATE.set("quiet", True)
        self.text(request, "not a word")

    def hush(self, request, _arguments):
        self.text(request, "closed" if STATE.wait(lambda: STATE.listener is None) else "the stream is still open")

    def hold(self, request, _arguments):
        """Say that the call runs, then wait until the caller hangs up or takes it back."""
        wake, STATE.holder = socket.socketpair()
        STATE.set("held", None)
        self.open_stream()
        self.part(b": holding\n\n")
        if self.hung_up(wake):
            STATE.set("held", "hung up")
        else:
            self.part(b"")
        self.close_connection = True

    def cancel(self, params):
        """The client takes the held call back, by the id that it gave it."""
        STATE.set("held", f"cancelled {json.dumps(params)}")
        STATE.holder.send(b".")

    def held(self, request, _arguments):
        self.text(request, STATE.held if STATE.wait(lambda: STATE.held) else "nobody hung up")

    def reflect(self, request, _arguments):
        self.text(request, json.dumps({name.lower(): value for name, value in self.headers.items()}))
