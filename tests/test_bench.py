"""The benchmark: that its programs count right, and notice what goes wrong."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from peers import ALL, FLOOR, Peer
from suite import prepare
from suite.figures import Figure, figure, ratios
from suite.jobs import QUEUE, Scale, Session, session
from suite.plot import plot
from suite.process import Cores, Fault, Program, cpu_ns, find_cores
from suite.report import markdown, text, write
from suite.runner import Record, begin, rotated, run

TINY = Scale(
    repetitions=2,
    clients=20,
    paced_rounds=3,
    paced_interval=5000,
    ack_rounds=(8, 8),
    calls=500,
    crowd=40,
    few=3,
    few_rounds=5,
    all_rounds=2,
    all_interval=5000,
    stalled=2,
    slow_rounds=10,
    slow_interval=5000,
)
WSSEND = next(peer for peer in ALL if peer.name == "wssend")
# Of other people's, those whose libraries are here for other tests.
THEIRS = [
    replace(peer, command=("{python}", *peer.command[1:2]))
    for peer in ALL
    if peer.name in ("websockets", "aiohttp")
]
EACH = pytest.mark.parametrize(
    "peer", [FLOOR, WSSEND, *THEIRS], ids=lambda peer: peer.name
)

PING, CLOSE = 0x89, 0x88


@pytest.fixture
def cores() -> Cores:
    return find_cores()


# The servers.


@EACH
def test_each_message_arrives_once_in_order_and_is_counted(
    peer: Peer, cores: Cores
) -> None:
    with session(peer, cores, clients=10) as it:
        for line, count in (
            ("broadcast 3 2000 64", 30),
            ("some 4 5 2000 300", 20),
            ("broadcast 2 1000 70000", 20),
        ):
            it.load.ask("reset")
            answer = it.server.ask(line)
            report = it.load.ask(f"wait {count} 10000")
            assert (answer["sent"], answer["refused"]) == (count, 0)
            assert report["bytes"] == count * int(line.split()[-1])
            it.check(line, answer, report, count // answer["rounds"])


@EACH
def test_what_is_paced_by_acks_goes_on_when_they_come(peer: Peer, cores: Cores) -> None:
    with session(peer, cores, clients=10) as it:
        it.acks(True)
        for line in ("closed 50 4 64", "unicast 50 1 64"):
            found = it.measure(line)
            assert found is not None
            assert found["refused"] == 0
            assert found["cpu"] > 0


@EACH
def test_who_does_not_read_is_refused_and_stops_nobody(
    peer: Peer, cores: Cores
) -> None:
    # What the kernel and the queue hold for one that is stalled is less than this.
    rounds, size = 60, 1 << 18
    with session(peer, cores, clients=4, stalled=2, queue=4) as it:
        it.load.ask("reset")
        answer = it.server.ask(f"broadcast {rounds} 20000 {size}")
        assert answer["refused"] > 0
        assert answer["sent"] + answer["refused"] == 4 * rounds
        report = it.receive(answer, 2)
        it.check("broadcast", answer, report, 2)
        assert report["frames"] > 0


@EACH
def test_a_command_that_is_unknown_is_an_error_and_no_end(
    peer: Peer, cores: Cores
) -> None:
    with session(peer, cores, clients=1) as it:
        assert "error" in it.server.ask("dance 3")
        assert it.server.ask("count") == {"clients": 1}


def test_the_cost_of_a_send_is_told_by_those_with_a_queue(cores: Cores) -> None:
    with session(FLOOR, cores, clients=1) as it:
        assert it.optional("sendcost 10 64", "ns") is None
    aiohttp = next(peer for peer in THEIRS if peer.name == "aiohttp")
    for peer in (WSSEND, aiohttp):
        with session(peer, cores, clients=3) as it:
            cost = it.optional("sendcost 1000 64", "ns")
            assert cost is not None
            assert cost > 0


@EACH
def test_a_server_ends_with_its_input_or_when_told_to(peer: Peer, cores: Cores) -> None:
    with session(peer, cores, clients=2) as it:
        assert it.server.close() == 0
    done = subprocess.run(
        prepare.command(peer, QUEUE), input=b"", capture_output=True, check=True
    )
    assert done.stdout.startswith(b"ready ")


# The load client, before a server that does what it ought not to.


class Wrong:
    """A listening socket, and one connection of the load client's."""

    def __init__(self, core: int, *words: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(10)
            port = str(listener.getsockname()[1])
            program = str(prepare.programs() / "bench_load")
            self.load = Program([program, "--port", port, "--conns", "1", *words], core)
            self.socket, _ = listener.accept()
        self.socket.settimeout(10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = b""
        while b"\r\n\r\n" not in request:
            request += self.socket.recv(4096)

    def accept(self, behind: bytes = b"") -> None:
        """Complete the handshake; something may come right behind."""
        answer = "ICX+Yqv66kxgM0FcWaLWlFLwTAI="
        head = f"HTTP/1.1 101 Yes\r\nSec-WebSocket-Accept: {answer}\r\n\r\n"
        self.socket.sendall(head.encode() + behind)
        assert self.load.read(10) == "ready"

    def __enter__(self) -> Wrong:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self.load.close()


@pytest.fixture
def wrong(cores: Cores) -> Iterator[Wrong]:
    with Wrong(cores.load, "--ack") as it:
        yield it


def frame(data: bytes, first: int = 0x82) -> bytes:
    size = len(data)
    if size < 126:
        return struct.pack(">BB", first, size) + data
    if size < 65536:
        return struct.pack(">BBH", first, 126, size) + data
    return struct.pack(">BBQ", first, 127, size) + data


def message(number: int, size: int = 16, age_ns: int = 0) -> bytes:
    stamp = struct.pack("<Qq", number, time.monotonic_ns() - age_ns)
    return frame(stamp.ljust(size, b"x"))


def read_frame(sock: socket.socket) -> tuple[int, bytes]:
    """A masked frame whose mask is zeros."""
    head = sock.recv(6, socket.MSG_WAITALL)
    assert head[2:] == bytes(4)
    size = head[1] & 127
    return head[0], sock.recv(size, socket.MSG_WAITALL) if size else b""


@pytest.mark.parametrize(
    ("numbers", "errors"),
    [
        ([1, 2, 3], {}),
        ([1, 1, 2], {"order_errors": 1}),
        ([2, 1, 3], {"order_errors": 1, "missed": 1}),
        ([1, 2, 5], {"missed": 2}),
        ([0, 1, 2], {"order_errors": 1}),
    ],
)
def test_the_order_of_messages_is_checked(
    wrong: Wrong, numbers: Sequence[int], errors: dict[str, int]
) -> None:
    wrong.accept(b"".join(map(message, numbers)))
    report = wrong.load.ask(f"wait {len(numbers)} 10000")
    wanted = {"order_errors": 0, "length_errors": 0, "missed": 0, **errors}
    assert {name: report[name] for name in wanted} == wanted


def test_the_length_of_messages_is_checked(wrong: Wrong) -> None:
    wrong.accept(message(1, 200) + message(2, 201) + message(3, 200))
    report = wrong.load.ask("wait 3 10000")
    assert report["length_errors"] == 1
    wrong.load.ask("reset")
    wrong.socket.sendall(frame(b"short"))
    assert wrong.load.ask("wait 1 10000")["length_errors"] == 1


@pytest.mark.parametrize("size", [16, 125, 126, 65535, 65536])
def test_messages_may_come_in_any_pieces(wrong: Wrong, size: int) -> None:
    wrong.accept()
    data = message(1, size) + message(2, size)
    for cut in range(1, 30):
        wrong.load.ask("reset")
        wrong.socket.sendall(data[:cut])
        wrong.load.ask("wait 2 1")  # so that it has read this piece
        wrong.socket.sendall(data[cut : cut + 3])
        wrong.load.ask("wait 2 1")
        wrong.socket.sendall(data[cut + 3 :])
        report = wrong.load.ask("wait 2 10000")
        assert (report["frames"], report["bytes"]) == (2, 2 * size)
        assert report["order_errors"] == report["length_errors"] == 0
        while read_frame(wrong.socket)[1] != struct.pack("<Q", 2):
            pass


def test_latencies_are_told_within_a_hundredth(wrong: Wrong) -> None:
    wrong.accept()
    hour = 3600 * 10**9
    for number in range(1, 101):
        wrong.socket.sendall(message(number, age_ns=number * hour))
    found = wrong.load.ask("wait 100 10000")["latency_ns"]
    assert found["p50"] == pytest.approx(50 * hour, rel=0.01)
    assert found["p99"] == pytest.approx(99 * hour, rel=0.01)
    assert found["p999"] == pytest.approx(100 * hour, rel=0.01)
    assert found["max"] == pytest.approx(100 * hour, rel=0.001)
    assert found["mean"] == pytest.approx(50.5 * hour, rel=0.001)


def test_pings_are_answered_and_a_close_is_echoed(wrong: Wrong) -> None:
    wrong.accept(frame(b"p" * 125, PING) + frame(b"", PING))
    assert read_frame(wrong.socket) == (0x8A, b"p" * 125)
    assert read_frame(wrong.socket) == (0x8A, b"")
    wrong.socket.sendall(frame(b"\x03\xe8bye", CLOSE))
    assert read_frame(wrong.socket) == (0x88, b"\x03\xe8bye")
    assert wrong.socket.recv(1) == b""
    assert wrong.load.ask("report")["closed"] == 1


def test_acks_tell_what_has_arrived_and_begin_anew(wrong: Wrong) -> None:
    wrong.accept()
    for _ in range(2):
        wrong.load.ask("reset")
        for number in (1, 2):
            wrong.socket.sendall(message(number))
            assert read_frame(wrong.socket) == (0x82, struct.pack("<Q", number))
    wrong.load.ask("acks 0")
    wrong.load.ask("reset")
    wrong.socket.sendall(message(1))
    assert wrong.load.ask("wait 1 10000")["frames"] == 1
    wrong.load.ask("acks 1")
    wrong.socket.sendall(message(2))
    assert read_frame(wrong.socket) == (0x82, struct.pack("<Q", 2))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (frame(bytes(16), 0x02), "not a whole message"),
        (frame(bytes(16), 0xC2), "not a whole message"),
        (frame(bytes(126), PING), "too long"),
        (b"\x82\x90" + bytes(20), "masked"),
    ],
)
def test_what_no_server_may_send_ends_the_load_client(
    wrong: Wrong, data: bytes, said: str
) -> None:
    wrong.accept(data)
    with pytest.raises(Fault, match=said):
        wrong.load.ask("wait 1 10000")


def test_a_refused_handshake_ends_the_load_client(wrong: Wrong) -> None:
    wrong.socket.sendall(b"HTTP/1.1 503 No\r\n\r\n")
    with pytest.raises(Fault, match="refused"):
        wrong.load.read(10)


# The processes.


def test_the_cpu_of_a_process_is_that_of_all_its_threads(cores: Cores) -> None:
    burn = (
        "import threading, hashlib, sys\n"
        "def work():\n"
        "    for _ in range(20): hashlib.sha256(bytes(1 << 20)).digest()\n"
        "t = threading.Thread(target=work); t.start(); t.join()\n"
        "print(f'{{\"cpu\": {time.thread_time_ns()}}}', flush=True)\n"
        "sys.stdin.read()"
    )
    code = f"import time\n{burn}"
    with Program([sys.executable, "-c", code], cores.server) as it:
        of_main_thread = json.loads(it.read(30))["cpu"]
        assert cpu_ns(it.pid) > of_main_thread
        assert os.sched_getaffinity(it.pid) == {cores.server}


def test_a_program_that_ends_says_its_last_word(cores: Cores) -> None:
    code = "import sys; print('first', file=sys.stderr); sys.exit('the end')"
    with (
        Program([sys.executable, "-c", code], cores.server) as it,
        pytest.raises(Fault, match="the end"),
    ):
        it.read(30)


def test_a_program_that_is_silent_is_not_waited_for_for_long(cores: Cores) -> None:
    with (
        Program([sys.executable, "-c", "input()"], cores.server) as it,
        pytest.raises(Fault, match=r"no answer within 0\.01 s"),
    ):
        it.read(0.01)


# The runner.


@pytest.mark.slow
def test_a_run_fills_every_table_of_floor_and_wssend(cores: Cores) -> None:
    record = run([FLOOR, WSSEND], cores, TINY, tell=lambda _: None)
    assert record.failed == []
    assert record.skipped == {}
    for values in record.results["wssend"].values():
        assert None not in values
    shown = text(record)
    assert shown.count("wssend") == 7
    assert markdown(record).count("| wssend |") == 7
    again = Record(**json.loads(json.dumps(asdict(record))))
    assert text(again) == shown


def script(code: str, **more: object) -> Peer:
    """A server that is a line of Python."""
    peer = Peer(
        name="script",
        title="a script",
        group="script",
        command=("{python}", "-c", code.replace("{", "{{").replace("}", "}}")),
    )
    return replace(peer, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('hello')", "ready PORT"),
        ("raise SystemExit('no library')", "no library"),
        ("print('ready 1', flush=True); input()", "connect"),
    ],
)
def test_a_server_that_fails_does_so_alone(cores: Cores, code: str, said: str) -> None:
    peers = [script(code), FLOOR]
    record = run(peers, cores, TINY, ["alone"], tell=lambda _: None)
    assert [*record.results] == ["floor"]
    assert None not in record.results["floor"]["alone_cpu"]
    assert len(record.failed) == 1  # it is not tried again
    assert said in record.failed[0]
    assert "failed: a script" in text(record)


LISTENING = """
import json, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print("ready", listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
connection.recv(4096)
accept = "ICX+Yqv66kxgM0FcWaLWlFLwTAI="
head = "HTTP/1.1 101 Yes\\r\\nSec-WebSocket-Accept: " + accept + "\\r\\n\\r\\n"
connection.sendall(head.encode())
for line in sys.stdin:
    print(json.dumps({"clients": 1} if line == "count\\n" else ANSWER), flush=True)
"""


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        ({"error": "unknown command"}, []),
        ({"error": "no ack"}, ["a script: alone: some 1 5 1000 128: no ack"]),
        ({"sent": 1}, ["a script: alone: some 1 5 1000 128: {'sent': 1}"]),
    ],
)
def test_only_what_a_server_does_not_know_is_just_left_out(
    cores: Cores, answer: dict[str, object], failed: list[str]
) -> None:
    scale = replace(TINY, repetitions=1, few=1)
    code = LISTENING.replace("ANSWER", repr(answer))
    record = run([script(code)], cores, scale, ["alone"], tell=lambda _: None)
    assert record.failed == failed
    assert record.results == {}


ANSWER = {"rounds": 5, "sent": 50, "refused": 0, "wall_ns": 1}
REPORT = {"frames": 50, "order_errors": 0, "length_errors": 0, "closed": 0}


@pytest.mark.parametrize(
    ("stalled", "answer", "report", "sound"),
    [
        (0, {}, {}, True),
        (0, {"sent": 45, "refused": 5}, {"frames": 45}, True),
        (0, {"sent": 45, "refused": 4}, {"frames": 45}, False),
        (0, {}, {"frames": 49}, False),
        (0, {}, {"frames": 51}, False),
        (0, {}, {"order_errors": 1}, False),
        (0, {}, {"length_errors": 1}, False),
        (0, {}, {"closed": 1}, False),
        (0, {"sent": 50, "refused": None}, {"frames": 50}, True),
        (0, {"sent": 50, "refused": None}, {"frames": 51}, False),
        (1, {"sent": 55, "refused": None}, {"frames": 47}, True),
        (1, {"sent": 52, "refused": 3}, {"frames": 50}, True),
        (1, {"sent": 52, "refused": 3}, {"frames": 47}, True),
        (1, {"sent": 52, "refused": 3}, {"frames": 46}, False),
        (1, {"sent": 52, "refused": 3}, {"frames": 51}, False),
    ],
)
def test_a_message_that_is_not_accounted_for_is_a_fault(
    cores: Cores,
    stalled: int,
    answer: dict[str, int | None],
    report: dict[str, int],
    sound: bool,
) -> None:
    with session(FLOOR, cores, clients=1) as it:
        checking = Session(it.server, it.load, 10 + stalled, stalled)
        told = (ANSWER | answer, REPORT | report)
        if sound:
            checking.check("job", *told, 10)
        else:
            with pytest.raises(Fault):
                checking.check("job", *told, 10)


def test_each_repetition_begins_with_another_server() -> None:
    peers = [replace(FLOOR, name=name) for name in "abc"]
    orders = ["".join(p.name for p in rotated(peers, i)) for i in range(4)]
    assert orders == ["abc", "bca", "cab", "abc"]


# Figures and tables.


def test_a_figure_is_the_median_with_the_smallest_and_the_largest() -> None:
    assert figure([3, None, 1, 2]) == Figure(median=2, low=1, high=3, count=3)
    assert figure([1, 2]) == Figure(median=1.5, low=1, high=2, count=2)
    assert figure([None, None]) is None


def test_a_ratio_is_of_one_repetition_and_not_of_the_medians() -> None:
    assert ratios([2, 30, None, 4], [1, 10, 1, None]) == [2, 3, None, None]
    assert ratios([1.0], [0.0]) == [None]


def sample() -> Record:
    record = begin([FLOOR, WSSEND, script("")], Cores(0, 1), TINY)
    record.results = {
        "script": {"paced_cpu": [30_000, 10_000]},
        "wssend": {"paced_cpu": [11_000, None], "send_ns": [150, 170]},
        "floor": {"paced_cpu": [10_000, 5_000]},
    }
    return record


def test_the_floor_comes_first_and_then_the_best() -> None:
    lines = text(sample()).splitlines()
    start = next(i for i, line in enumerate(lines) if "at a pace" in line)
    assert lines[start + 2].split()[-8:] == [
        *("1.00", "(1.00-1.00)", "7.50", "(5.00-10.00)"),
        *"----",
    ]
    assert lines[start + 3].split()[:3] == ["wssend", "1.10", "11.00"]
    assert lines[start + 4].split()[:5] == [
        *("a", "script", "2.50", "(2.00-3.00)", "20.00"),
    ]


def test_a_table_without_a_figure_is_left_out() -> None:
    shown = text(sample())
    assert "One send() call" in shown
    assert "never read" not in shown


def test_who_was_skipped_is_said_with_the_reason() -> None:
    record = sample()
    record.skipped["script"] = "go is not installed"
    assert "skipped: a script: go is not installed" in text(record)
    assert "- skipped: a script: go is not installed" in markdown(record)


def test_the_tables_go_between_their_marks_and_nowhere_else(tmp_path: Path) -> None:
    file, record = tmp_path / "page.md", sample()
    write(record, file)
    assert file.read_text() == markdown(record)
    file.write_text("a\n<!-- suite -->\nold\n<!-- end of suite -->\nb\n")
    for _ in range(2):
        write(record, file)
        assert file.read_text() == (
            f"a\n<!-- suite -->\n{markdown(record)}<!-- end of suite -->\nb\n"
        )
    file.write_text("a\n<!-- suite -->\nb\n")
    with pytest.raises(ValueError, match="has no <!-- end of suite -->"):
        write(record, file)
    assert file.read_text() == "a\n<!-- suite -->\nb\n"


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_a_plot_is_drawn_of_what_there_is(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("matplotlib", reason="of `make bench` alone")
    file = tmp_path / f"plot.{ending}"
    plot(sample(), file)
    assert file.read_bytes()[:5] in (b"<?xml", b"\x89PNG\r")
    if ending == "svg":
        first = file.read_text()
        plot(sample(), file)
        assert file.read_text() == first


# Choosing and preparing.


def test_peers_are_chosen_by_name_or_group_and_the_floor_is_always_there() -> None:
    peers = [
        FLOOR,
        script("", name="a", group="g"),
        script("", name="b", group="g", default=False),
        script("", name="c", group="h"),
    ]

    def chosen(*words: str) -> str:
        return " ".join(peer.name for peer in prepare.choose(words, peers))

    assert chosen() == "floor a c"
    assert chosen("g") == "floor a b"
    assert chosen("c", "b") == "floor b c"
    assert chosen("floor") == "floor"
    with pytest.raises(ValueError, match="no peer 'x'; there are a, b, c, floor, g"):
        chosen("c", "x")


def test_the_names_of_all_peers_differ() -> None:
    names = [peer.name for peer in ALL]
    assert len(set(names)) == len(names)
    titles = [peer.title for peer in ALL]
    assert len(set(titles)) == len(titles)


def test_what_a_peer_is_made_of_is_there() -> None:
    for peer in ALL:
        for name in peer.inputs:
            assert (prepare.SERVERS / name).exists(), peer.name


def test_a_peer_whose_tool_is_missing_is_unavailable() -> None:
    with pytest.raises(prepare.UnavailableError, match="no-such-tool is not installed"):
        prepare.prepare(script("", needs=("no-such-tool",)))


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(prepare, "SERVERS", tmp_path)
    monkeypatch.setattr(prepare, "OUT", tmp_path / "out")
    return tmp_path


def test_a_peer_that_cannot_be_made_is_unavailable(folders: Path) -> None:
    code = "import sys; print('first'); sys.exit('the reason')"
    words = ("{python}", "-c", code)
    with pytest.raises(prepare.UnavailableError, match="failed: the reason"):
        prepare.prepare(script("", prepare=(words,)))


def test_a_peer_is_made_once_and_again_when_its_files_change(folders: Path) -> None:
    (folders / "x").mkdir()
    (folders / "x" / "code").write_text("1")
    code = "open(r'{build}/made', 'a').write(open('x/code').read())"
    peer = script("", inputs=("x",), prepare=(("{python}", "-c", code),))
    made = folders / "out" / "script" / "made"
    prepare.prepare(peer)
    prepare.prepare(peer)
    assert made.read_text() == "1"
    (folders / "x" / "code").write_text("2")
    prepare.prepare(peer)
    assert made.read_text() == "12"


def test_a_server_is_told_its_port_and_its_queue() -> None:
    words = prepare.command(script("pass"), QUEUE)
    assert words == [sys.executable, "-c", "pass", "--port", "0", "--queue", "256"]
