"""WSHub(pumps=N): several threads, and nothing else is different."""

from __future__ import annotations

import ssl
import threading
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from kit import Background, Process, make_pair, run_script, serving, there, until
from wsclient import BINARY, CLOSE, TEXT, Client, connect_socket, trusting

import wssend

PUMPS = 3


def threads() -> list[str]:
    """The names of this process's pumps."""
    names = [p.read_text().strip() for p in Path("/proc/self/task").glob("*/comm")]
    return sorted(name for name in names if name.startswith("wssend-pump"))


def test_a_thread_each_from_the_first_listener_to_the_end() -> None:
    before = threads()
    hub = wssend.WSHub(pumps=PUMPS)
    assert hub.stats().pumps == (0,) * PUMPS
    assert threads() == before
    hub.listen("127.0.0.1", 0)
    hub.listen("127.0.0.1", 0)
    more = ["wssend-pump", "wssend-pump-1", "wssend-pump-2"]
    assert threads() == sorted([*before, *more])
    hub.close()
    assert threads() == before
    assert hub.stats().pumps == (0,) * PUMPS


def test_one_pump_is_what_there_is_if_nothing_is_said() -> None:
    with wssend.WSHub() as hub:
        hub.listen("127.0.0.1", 0)
        assert hub.stats().pumps == (0,)


def test_connections_are_spread_over_the_pumps() -> None:
    with serving(pumps=PUMPS) as server:
        own = [server.connect(str(n))[1] for n in range(10)]
        assert server.hub.stats().pumps == (4, 3, 3)
        own[1].close()
        own[4].close()
        until(lambda: server.hub.stats().pumps == (4, 1, 3))
        server.connect("x")
        server.connect("y")
        assert server.hub.stats().pumps == (4, 3, 3)


def test_each_client_gets_all_in_order_from_many_senders() -> None:
    senders, each = 4, 300
    with serving(pumps=PUMPS, send_queue=senders * each) as server:
        clients = [server.connect(str(n)) for n in range(2 * PUMPS)]

        def send(name: int) -> int:
            reports = [server.hub.broadcast(f"{name} {n}") for n in range(each)]
            assert all(reports)
            return sum(report.queued for report in reports)

        jobs = [Background(partial(send, name)) for name in range(senders)]
        for _, own in clients:
            got: list[list[int]] = [[] for _ in range(senders)]
            for _ in range(senders * each):
                name, n = str(own.recv()).split()
                got[int(name)].append(int(n))
            assert got == [list(range(each))] * senders
        queued = sum(job.result() for job in jobs)
        assert queued == senders * each * len(clients)
        server.hub.flush(5)
        stats = server.hub.stats()
        assert stats.accepted == stats.written == queued


def test_reports_are_exact_while_clients_come_and_go() -> None:
    enough = threading.Event()
    with serving(pumps=PUMPS) as server:
        clients = [server.connect(str(n)) for n in range(PUMPS)]

        def come_and_go() -> int:
            count = 0
            while not enough.is_set():
                with Client(server.url):
                    count += 1
            return count

        visitors = Background(come_and_go)
        queued = 0
        for n in range(200):
            report = server.hub.broadcast(str(n))
            assert report.queued >= PUMPS
            assert (report.full, report.failed) == ((), 0)
            queued += report.queued
            for _, own in clients:
                assert own.recv() == str(n)
        enough.set()
        assert visitors.result() > 0
        until(lambda: len(server.hub) == PUMPS)
        until(lambda: server.hub.stats().closing == 0)
        stats = server.hub.stats()
        assert stats.accepted == queued == stats.written + stats.queued + stats.lost


def test_what_is_queued_goes_out_before_the_end() -> None:
    with serving(pumps=PUMPS) as server:
        clients = [server.connect(str(n)) for n in range(2 * PUMPS)]
        for client, _ in clients:
            for _ in range(3):
                client.send(bytes(300_000))
        end = Background(lambda: server.hub.close(1012, "again later", timeout=10))
        for _, own in clients:
            for _ in range(3):
                assert own.recv_frame().opcode == BINARY
            close = own.answer_close()
            assert (close.code, close.reason) == (1012, "again later")
        end.result()
        assert server.hub.stats().lost == 0


def test_a_timeout_of_a_close_cuts_the_clients_of_all_pumps() -> None:
    with serving(pumps=PUMPS, close_timeout=30) as server:
        stalled = [server.stalled(str(n)) for n in range(PUMPS)]
        with pytest.raises(TimeoutError):
            server.hub.flush(0.05)
        server.hub.close(timeout=0.05)
        assert server.hub.stats().lost > 0
        for client, _ in stalled:
            assert client.closed


def test_events_of_all_pumps_wait_for_room_and_keep_their_order() -> None:
    each = 100
    with serving(pumps=PUMPS, max_events=4) as server:
        events = server.hub.events(5)
        clients = [server.connect(str(n)) for n in range(2 * PUMPS)]
        for _ in clients:
            assert isinstance(next(events), wssend.Connected)
        for n in range(each):
            for _, own in clients:
                own.send_frame(TEXT, str(n).encode())
        heard: dict[str, list[object]] = {client.id: [] for client, _ in clients}
        for _ in range(each * len(clients)):
            event = next(events)
            assert isinstance(event, wssend.Message)
            heard[event.client.id].append(event.data)
        assert list(heard.values()) == [[str(n) for n in range(each)]] * len(clients)
        assert server.hub.stats().events_total == each * len(clients)


def test_an_address_has_its_limit_on_all_pumps_together() -> None:
    with serving(pumps=PUMPS, max_clients_per_ip=4) as server, ExitStack() as stack:
        own = [stack.enter_context(Client(server.url)) for _ in range(4)]
        with pytest.raises(AssertionError, match="503"):
            Client(server.url)
        own[2].close()
        until(lambda: sum(server.hub.stats().pumps) == 3)
        stack.enter_context(Client(server.url))
        with pytest.raises(AssertionError, match="503"):
            Client(server.url)


def test_clients_have_their_limit_on_all_pumps_together() -> None:
    with serving(pumps=PUMPS, max_clients=4) as server, ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(Client(server.url))
        with pytest.raises(AssertionError, match="503"):
            Client(server.url)
        assert len(server.hub) == 4


def certificates(listener: wssend.Listener, count: int) -> set[bytes]:
    """Those that so many handshakes are shown, one after the other."""
    found = set()
    with ExitStack() as stack:
        for _ in range(count):
            sock = stack.enter_context(
                trusting().wrap_socket(
                    connect_socket(listener.url), server_hostname="localhost"
                )
            )
            found.add(there(sock.getpeercert(binary_form=True)))
    return found


def test_all_pumps_speak_tls_and_take_a_new_certificate_at_once(
    tmp_path: Path,
) -> None:
    first, second = (make_pair(tmp_path, name) for name in ("first", "second"))
    ders = [ssl.PEM_cert_to_DER_cert(pair.cert.read_text()) for pair in (first, second)]
    with serving(pumps=PUMPS, tls=first.both) as server:
        clients = [server.connect(str(n), tls=trusting()) for n in range(2 * PUMPS)]
        assert server.hub.stats().pumps == (2,) * PUMPS
        assert certificates(server.listener, PUMPS) == {ders[0]}
        server.listener.reload_tls(tls_cert=second.both)
        assert certificates(server.listener, 2 * PUMPS) == {ders[1]}
        assert server.hub.broadcast("still here").queued == len(clients)
        for _, own in clients:
            assert own.recv() == "still here"
        server.listener.close()
        with pytest.raises(ConnectionRefusedError):
            connect_socket(server.url)
        with pytest.raises(ValueError, match="is closed"):
            server.listener.reload_tls()


def test_a_hub_may_be_closed_while_others_send() -> None:
    with serving(pumps=PUMPS) as server:
        for n in range(2 * PUMPS):
            server.connect(str(n))

        def send() -> int:
            queued = 0
            try:
                while True:
                    queued += server.hub.broadcast("x").queued
            except wssend.HubClosed:
                return queued

        jobs = [Background(send) for _ in range(3)]
        until(lambda: server.hub.stats().accepted > 1000)
        server.hub.close(timeout=0.05)
        queued = sum(job.result() for job in jobs)
        stats = server.hub.stats()
        assert stats.accepted == queued == stats.written + stats.lost


@pytest.mark.forks
def test_a_forked_child_has_none_of_them_and_disturbs_none() -> None:
    run_script(f"""
import os
import wssend
from kit import serving

with serving(pumps={PUMPS}) as server:
    clients = [server.connect(str(n)) for n in range(6)]
    for _ in range(20):
        pid = os.fork()
        if pid == 0:
            try:
                server.hub.broadcast("x")
            except wssend.HubClosed:
                server.hub.close()
                os._exit(0)
            os._exit(1)
        assert server.hub.broadcast("after").queued == 6
        for _, own in clients:
            assert own.recv() == "after"
        assert os.waitpid(pid, 0)[1] == 0
""")


@pytest.mark.forks
def test_a_hub_that_has_not_listened_has_them_in_a_forked_child() -> None:
    run_script(f"""
import os
import wssend
from wsclient import Client

hub = wssend.WSHub(pumps={PUMPS})
pid = os.fork()
listener = hub.listen("127.0.0.1", 0)
with Client(listener.url), Client(listener.url), Client(listener.url):
    assert hub.stats().pumps == (1, 1, 1)
hub.close()
if pid == 0:
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
""")


def test_the_interpreter_may_end_with_clients_on_all_of_them() -> None:
    with Process(f"""
import sys
import wssend
hub = wssend.WSHub(pumps={PUMPS}, close_timeout=30)
print(hub.listen("127.0.0.1", 0).url, flush=True)
sys.stdin.readline()
""") as process:
        url = process.read()
        clients = [Client(url) for _ in range(2 * PUMPS)]
        process.write("end")
        began = time.monotonic()
        for client in clients:
            assert client.recv_frame().opcode == CLOSE
        process.end()
        assert time.monotonic() - began < 8
        for client in clients:
            client.close()
