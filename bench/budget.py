"""The budget of one message: instructions by stage, and system calls.

    python bench/budget.py [--json FILE] [--clients 1000]

The server is wssend as it is installed, driven from Python; its clients are real
connections on loopback, drained by a process of their own. Instructions are counted
by valgrind's callgrind in user space, exactly, so that a busy machine does not matter;
system calls by strace. Each job is run with two numbers of rounds and the difference
is what the rounds cost, so that starting, connecting and ending fall away.

A line of C belongs to the stage of its file; what it calls in the C library or in
Python belongs to it, but for locks, the allocator, copying and the clock, which are
stages of their own. Polling for the end of a round is left out.
"""

from __future__ import annotations

import argparse
import json
import re
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from wire import REQUEST

PAYLOAD: Final = b"x" * 128
# What a round is: (messages to each client, whether by broadcast).
JOBS: Final = {
    "send": (1, False),
    "send, bursts of 8": (8, False),
    "broadcast": (1, True),
    "broadcast, bursts of 4": (4, True),
}
PATIENCE: Final = 300  # seconds; valgrind is slow

# ---- the two processes


def serve(job: str, rounds: int, count: int) -> None:
    """Runs `rounds` of `job` for `count` clients, each when the last was written."""
    import wssend

    burst, by_broadcast = JOBS[job]
    with wssend.WSHub(ping_interval=None, open_timeout=None) as hub:
        print(hub.listen("127.0.0.1", 0).port, flush=True)
        until(lambda: len(hub) == count)
        clients = hub.clients()
        for _ in range(rounds):
            if by_broadcast:
                for _ in range(burst):
                    hub.broadcast(PAYLOAD)
            else:
                for client in clients:
                    for _ in range(burst):
                        client.send(PAYLOAD)
            # The pump keeps the order in which clients got something to do.
            until(lambda: clients[-1].stats().queued == 0)


def until(condition: object) -> None:
    """Polls; ends the program when it takes too long."""
    deadline = time.monotonic() + PATIENCE
    assert callable(condition)
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("something did not happen in time")
        time.sleep(0.02)


def drain(port: int, count: int) -> None:
    """Connects, reads and forgets until every connection has ended."""
    selector = selectors.DefaultSelector()
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(REQUEST)
        selector.register(sock, selectors.EVENT_READ)
    while count:
        for key, _ in selector.select():
            assert isinstance(key.fileobj, socket.socket)
            try:
                data = key.fileobj.recv(1 << 20)
            except ConnectionError:
                data = b""
            if not data:
                selector.unregister(key.fileobj)
                key.fileobj.close()
                count -= 1


def run(tool: list[str], job: str, rounds: int, count: int) -> None:
    """A server under `tool`, and its clients, from beginning to end."""
    me = [sys.executable, __file__]
    server = subprocess.Popen(
        [*tool, *me, "--serve", job, str(rounds), str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    port = server.stdout.readline().strip()
    clients = subprocess.Popen([*me, "--drain", port, str(count)])
    try:
        if server.wait(PATIENCE) != 0 or clients.wait(PATIENCE) != 0:
            sys.exit(f"{job}: the server or its clients failed")
    finally:
        server.kill()
        clients.kill()


# ---- instructions

SENDER_FILES: Final = {
    "message.c": "make the frame",
    "frame_encode.c": "make the frame",
    "msg.c": "make the frame",
    "utf8.c": "make the frame",
    "chan.c": "push",
    "client.c": "mark and ring",
    "wake.c": "mark and ring",
    "fanout.c": "fan out",
    "group.c": "fan out",
    "hub_walk.c": "fan out",
}
PUMP_FILES: Final = {
    "wake.c": "take the list",
    "pump.c": "take the list",
    "client.c": "take the list",
    "conn.c": "take the list",
    "chan.c": "peek and commit",
    "outbox.c": "pack and account",
    "msg.c": "let the message go",
    "timer.c": "loop",
    "loop.c": "loop",
}
# Functions of others, by the beginning of their names.
FOREIGN: Final = {
    "pthread_mutex": "locks",
    "__pthread_mutex": "locks",
    "malloc": "allocator",
    "calloc": "allocator",
    "free": "allocator",
    "mem": "copy",
    "__mem": "copy",
    "clock_gettime": "clock",
    "send": "system call, its user side",
    "__send": "system call, its user side",
    "epoll_wait": "loop",
    "read": "loop",
}
# Whatever a poll for the end of a round does.
POLLING: Final = {"client_stats", "py_make_client_stats", "ws_chan_get_stats"}
POLLING_FILES: Final = {"module.c", "values.c"}


class Profile:
    """Reads the file that callgrind has written for one thread."""

    NAME = re.compile(r"\((\d+)\)(?: (.*))?")

    def __init__(self, path: Path) -> None:
        self.names: dict[str, dict[str, str]] = {"ob": {}, "fl": {}, "fn": {}}
        self.costs: Counter[tuple[str, str]] = Counter()  # (file, foreign callee)
        self.read(path.read_text().splitlines())

    def name(self, kind: str, text: str) -> str:
        """The name behind `(number) name`, which is given once."""
        match = self.NAME.fullmatch(text)
        assert match is not None, text
        number, name = match.groups()
        if name is not None:
            self.names[kind][number] = name
        return self.names[kind][number]

    def read(self, lines: list[str]) -> None:
        """Adds up what our own functions cost, and what they call of others."""
        ob = fl = source = callee_ob = callee = ""
        calling = counts = False
        for line in lines:
            key, _, value = line.partition("=")
            if key == "ob":
                ob = callee_ob = self.name("ob", value)
            elif key == "fl":
                source = fl = self.name("fl", value)
            elif key in ("fi", "fe"):
                source = self.name("fl", value)
            elif key == "fn":
                function = self.name("fn", value)
                source = fl
                counts = (
                    "_core" in ob
                    and function.split(".")[0] not in POLLING
                    and Path(fl).name not in POLLING_FILES
                )
                callee_ob = ob
            elif key == "cob":
                callee_ob = self.name("ob", value)
            elif key in ("cfi", "cfl"):
                self.name("fl", value)
            elif key == "cfn":
                callee = self.name("fn", value)
            elif key == "calls":
                calling = True
            elif line[:1] in "+-*0123456789" and line:
                cost = int(line.split()[1])
                if counts:
                    foreign = "_core" not in callee_ob
                    if not calling:
                        self.costs[(source, "")] += cost
                    elif foreign:
                        self.costs[(source, callee)] += cost
                if calling:
                    calling = False
                    callee_ob = ob


def stage_of(source: str, callee: str, files: dict[str, str]) -> str:
    """Where a cost belongs."""
    for start, stage in FOREIGN.items():
        if callee.startswith(start):
            return stage
    path = Path(source)
    if path.name == "lock.h":
        return "locks"
    if path.parent.name == "py":
        return "binding"
    if path.name in files:
        return files[path.name]
    return "loop" if files is PUMP_FILES and "lib" in path.parts else "other"


def profiles(job: str, rounds: int, count: int) -> Iterator[tuple[bool, Profile]]:
    """Of each thread: whether it is the pump's, and its profile."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        tool = ["valgrind", "--tool=callgrind", "--separate-threads=yes", "-q"]
        tool += [f"--callgrind-out-file={out}"]
        run(tool, job, rounds, count)
        for path in Path(folder).glob("out-*"):
            profile = Profile(path)
            called = {callee for _, callee in profile.costs}
            yield any(c.startswith("epoll_wait") for c in called), profile


def stages(job: str, rounds: int, count: int) -> Counter[tuple[str, str]]:
    """Instructions by (side, stage), for a whole run."""
    total: Counter[tuple[str, str]] = Counter()
    for is_pump, profile in profiles(job, rounds, count):
        side = "pump" if is_pump else "sender"
        files = PUMP_FILES if is_pump else SENDER_FILES
        for (source, callee), cost in profile.costs.items():
            total[(side, stage_of(source, callee, files))] += cost
    return total


def instructions(job: str, count: int) -> dict[str, dict[str, float]]:
    """Instructions a message, by side and stage."""
    few, many = 2, 12
    messages = (many - few) * JOBS[job][0] * count
    before = stages(job, few, count)
    result: dict[str, dict[str, float]] = {"sender": {}, "pump": {}}
    for (side, stage), cost in stages(job, many, count).most_common():
        each = (cost - before[(side, stage)]) / messages
        if each >= 0.5:
            result[side][stage] = round(each, 1)
    return result


# ---- system calls

CALLS: Final = (
    "sendto", "sendmsg", "epoll_wait", "epoll_ctl", "read", "write", "futex",
)  # fmt: skip


def count_calls(job: str, rounds: int, count: int) -> Counter[str]:
    """What strace counts in a whole run."""
    with tempfile.NamedTemporaryFile("r") as out:
        run(["strace", "-f", "-qq", "-c", "-o", out.name], job, rounds, count)
        counted: Counter[str] = Counter()
        for line in out:
            words = line.split()
            if len(words) >= 5 and words[-1] in CALLS:
                counted[words[-1]] = int(words[3])
        return counted


def system_calls(job: str, count: int) -> dict[str, float]:
    """System calls a message."""
    few, many = 5, 55
    before, after = count_calls(job, few, count), count_calls(job, many, count)
    messages = (many - few) * JOBS[job][0] * count
    return {call: round((after[call] - before[call]) / messages, 4) for call in CALLS}


# ---- what is shown


def print_instructions(found: dict[str, dict[str, dict[str, float]]]) -> None:
    """One column a job."""
    print("| instructions a message | " + " | ".join(found) + " |")
    print("|---|" + "---:|" * len(found))
    for side in ("sender", "pump"):
        rows = dict.fromkeys(s for job in found.values() for s in job[side])
        for stage in rows:
            cells = [f"{job[side].get(stage, 0):.0f}" for job in found.values()]
            print(f"| {side}: {stage} | " + " | ".join(cells) + " |")
        sums = [f"**{sum(job[side].values()):.0f}**" for job in found.values()]
        print(f"| **{side}, together** | " + " | ".join(sums) + " |")


def print_calls(found: dict[str, dict[str, float]]) -> None:
    """One column a job."""
    print("| system calls a message | " + " | ".join(found) + " |")
    print("|---|" + "---:|" * len(found))
    for call in CALLS:
        cells = [f"{job[call]:.3f}" for job in found.values()]
        print(f"| `{call}` | " + " | ".join(cells) + " |")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where the figures go, too")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--drain", nargs=2, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve[0], int(args.serve[1]), int(args.serve[2]))
        return
    if args.drain:
        drain(*args.drain)
        return
    found: dict[str, object] = {"clients": args.clients, "payload": len(PAYLOAD)}
    if shutil.which("valgrind"):
        spent = {job: instructions(job, args.clients) for job in JOBS}
        print_instructions(spent)
        found["instructions"] = spent
    else:
        print("no valgrind here: instructions are not counted")
    if shutil.which("strace"):
        calls = {job: system_calls(job, args.clients) for job in JOBS}
        print()
        print_calls(calls)
        found["system_calls"] = calls
    else:
        print("no strace here: system calls are not counted")
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
