"""Every source file has its test file, and every test file its source.

What has no mirror image is listed here, each with the reason.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]

C_WITHOUT_TEST: dict[str, str] = {
    "admit": "from the request to the client: test_opening.c, test_hold.c",
    "err": "one table; -Werror=switch guards its users",
    "hub_events": "part of hub.h: test_hub.c",
    "hub_join": "part of hub.h: test_hub.c, test_hold.c",
    "hub_pumps": "part of hub.h: test_hub.c",
    "hub_topics": "part of hub.h: test_hub.c",
    "hub_totals": "part of hub.h: test_hub.c",
    "hub_walk": "part of hub.h: test_hub.c",
}
C_TEST_WITHOUT_SOURCE: dict[str, str] = {
    "rfc6455": "the rules of proto, seen from a socket",
    "faults": "all of core, proto and net, out of memory",
    "openssl": "tls and identity, when OpenSSL runs out of memory",
    "sizes": "what there is many of, and what each of them weighs",
    "syscalls": "all of core and net, when the kernel refuses",
}

PY_WITHOUT_TEST: dict[str, str] = {
    "__init__": "names only",
    "__main__": "calls cli.main and nothing else",
    # Parts of a hub that is elsewhere.
    "remote_hub": "the calls: test_remote.py",
    "remote_report": "test_remote_link.py",
    # Parts of the binding that no name of Python's stands for.
    "aio_client": "the argument of a handler: test_aio.py",
    "aio_notices": "drain and flush: test_aio.py",
    "aio_server": "test_aio.py, test_aio_authorize.py",
    "args": "parses the calls: test_send.py, test_hub.py",
    "attributes": "test_client.py",
    "convert": "test_options.py, test_stats.py",
    "decision": "what is decided: test_authorize.py",
    "ending": "flush and close: test_hub.py",
    "exclude": "the argument of broadcast and publish: test_hub.py",
    "handshake": "test_authorize.py",
    "home": "test_fork.py",
    "keep": "test_client.py",
    "lifetime": "test_exit.py, test_fork.py, test_hub.py",
    "memory_end": "the part of wssend.testing in C: test_testing.py",
    "module": "importing it is the test",
    "outgoing": "test_send.py, test_threads.py",
    "page": "add_page: test_hub.py",
    "payload": "test_send.py, test_prepared.py",
    "place": "test_listener.py",
    "raise": "test_errors.py and whoever expects an error",
    "sending": "test_send.py, test_hub.py",
    "testing__client": "test_testing.py",
    "values": "test_stats.py, test_report.py",
    "wait": "test_hub.py, test_client.py",
}
PY_TEST_WITHOUT_SOURCE: dict[str, str] = {
    "aio_authorize": "wssend/aio: who is let in",
    "bench": "the programs of bench/",
    "bench_growth": "those of them that measure wssend alone",
    "bench_inbound": "... and wssend.aio",
    "compression": "compress.c and unpack.c, by clients of other people",
    "docs": "README.md and docs/ are its source",
    "exit": "the interpreter's end: lifetime.c and every tp_dealloc",
    "fork": "lifetime.c, home.c and every entry point",
    "gil": "the pump beside a thread that holds the GIL",
    "leaks": "every entry point",
    "memory": "every entry point, out of memory",
    "pytest_plugin": "pytest_wssend",
    "pumps": "several pumps: crew.c and arrivals.c under the binding",
    "send": "payload.c, outgoing.c and WSClient.send",
    "threads": "every entry point, from many threads",
}


def stems(pattern: str, prefix: str = "") -> set[str]:
    return {path.stem.removeprefix(prefix) for path in ROOT.glob(pattern)}


def modules() -> set[str]:
    """The package's modules: aio/client.py is aio_client, a package itself aio."""
    package = ROOT / "wssend"
    return {
        "_".join(p.relative_to(package).with_suffix("").parts).removesuffix("___init__")
        for p in package.rglob("*.py")
    }


def test_each_c_source_has_a_c_test() -> None:
    sources = stems("csrc/core/*.c") | stems("csrc/proto/*.c") | stems("csrc/net/*.c")
    tests = stems("tests/c/test_*.c", "test_")
    assert sources - tests == set(C_WITHOUT_TEST)
    assert tests - sources == set(C_TEST_WITHOUT_SOURCE)


def test_each_module_and_binding_has_a_test() -> None:
    sources = modules() | stems("csrc/py/*.c")
    tests = stems("tests/test_*.py", "test_")
    assert sources - tests == set(PY_WITHOUT_TEST)
    assert tests - sources == set(PY_TEST_WITHOUT_SOURCE)
