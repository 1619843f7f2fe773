"""A client that does what an honest one does, until somebody stops it.

    python client.py URL TARGET

It reads what comes and answers pings. It prints "ready", and sends each line of
its stdin, upon which it prints "sent".
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from wsclient import Client, Gone


def read(client: Client) -> None:
    client.socket.settimeout(None)
    try:
        while True:
            client.recv()
    except (Gone, AssertionError):
        pass  # the end, or a Close


def main() -> None:
    url, target = sys.argv[1:]
    client = Client(url, target)
    threading.Thread(target=read, args=(client,), daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        client.send(line.rstrip("\n"))
        print("sent", flush=True)


if __name__ == "__main__":
    main()
