"""Opens a session's listening stream again and again, each time right after closing it, and prints the answers.

A server allows one such stream, and must not be told late that it is closed. Usage: reconnect.py URL, extra request
headers as JSON in $HEADERS.
"""

from by_hand import handshake, tell

TIMES = 60


def again_and_again(raw):
    for _ in range(TIMES):
        connection, stream = raw.open("GET", Accept="text/event-stream")
        raw.record("GET", stream.status, stream.getheader("content-type"))
        stream.close()
        connection.close()


if __name__ == "__main__":
    tell(handshake, again_and_again)
