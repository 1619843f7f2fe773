"""The demo, all of it, as `wssend serve --demo` puts it together."""

from __future__ import annotations

import urllib.request

import wssend
from wssend.demo import Demo, build_page


def test_a_hub_serves_the_demo() -> None:
    with wssend.WSHub(id_query="id") as hub:
        page = build_page(demo=True, id_query="id")
        hub.add_page("/", "text/html; charset=utf-8", page)
        port = hub.listen("127.0.0.1", 0).port
        demo = Demo(hub)
        demo.start()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as got:
            assert got.read() == page
        assert demo.say("is anybody here?").queued == 0
        assert demo.unseen == 0
