from __future__ import annotations

import pickle

import pytest
from kit import serving
from wsclient import Client

import wssend
from wssend import Headers, Request

RAW = (
    b"GET /chat/r%C3%B6om?id=7&x=%20 HTTP/1.1\r\n"
    b"Host: example.com\r\n"
    b"X-List: a\r\n"
    b'COOKIE: sid=abc; theme="dark"; sid=second; bare; =odd\r\n'
    b"x-list:b \t\r\n"
    b"Cookie: late=1; eq=a=b\r\n"
    b"X-Latin: \xe9\r\n"
    b"\r\n"
)


@pytest.fixture
def request_() -> Request:
    return Request(RAW, "chat.v1")


def test_the_request_line(request_: Request) -> None:
    assert (request_.path, request_.query) == ("/chat/r%C3%B6om", "id=7&x=%20")
    assert (request_.raw, request_.subprotocol) == (RAW, "chat.v1")
    assert repr(request_) == "<Request '/chat/r%C3%B6om' query='id=7&x=%20'>"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/?", "/", ""),
        ("/a?b?c", "/a", "b?c"),
        ("http://host:80/a?b", "/a", "b"),
        ("https://host", "/", ""),
        ("http://host?q", "/", "q"),
    ],
)
def test_targets(target: str, path: str, query: str) -> None:
    request = Request(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (request.path, request.query) == (path, query)


def test_headers_are_found_in_any_case(request_: Request) -> None:
    headers = request_.headers
    assert headers is request_.headers
    assert headers["host"] == headers["HOST"] == "example.com"
    assert headers["X-List"] == "a, b"
    assert headers.get_all("x-LIST") == ["a", "b"]
    assert headers.get_all("nothing") == []
    assert headers.get("nothing") is None
    assert headers["x-latin"] == "é"
    assert "x-list" in headers
    assert 7 not in headers  # type: ignore[comparison-overlap]
    assert list(headers) == ["Host", "X-List", "COOKIE", "X-Latin"]
    assert len(headers) == 4
    with pytest.raises(KeyError, match="Nothing"):
        headers["Nothing"]


def test_headers_are_a_read_only_mapping(request_: Request) -> None:
    headers = request_.headers
    assert dict(headers)["Host"] == "example.com"
    with pytest.raises(TypeError):
        headers["Host"] = "other"  # type: ignore[index]
    headers.get_all("x-list").append("c")
    assert headers.get_all("x-list") == ["a", "b"]
    assert Headers([("A", "1"), ("a", "2")]) == Headers([("a", "1"), ("A", "2")])
    assert Headers([("A", "1")]) != Headers([("A", "2")])
    assert Headers() != {}
    assert repr(Headers([("A", "1")])) == "Headers([('A', '1')])"
    with pytest.raises(TypeError, match="unhashable"):
        hash(headers)


def test_cookies(request_: Request) -> None:
    assert request_.headers["cookie"].startswith("sid=abc; theme=")
    assert request_.cookies == {"sid": "abc", "theme": "dark", "late": "1", "eq": "a=b"}
    assert request_.cookies is request_.cookies


def test_no_request_at_all() -> None:
    request = Request(b"")
    assert (request.path, request.query, dict(request.headers), request.cookies) == (
        "/",
        "",
        {},
        {},
    )
    assert request.subprotocol is None


def test_a_request_is_a_value(request_: Request) -> None:
    same = pickle.loads(pickle.dumps(request_))
    assert same == request_
    assert hash(same) == hash(request_)
    assert request_ != Request(RAW)
    assert request_ != RAW
    with pytest.raises(AttributeError):
        request_.path = "/other"  # type: ignore[misc]


def test_what_a_client_really_sent() -> None:
    with serving(subprotocols=["chat.v2", "chat.v1"]) as server:
        headers = [
            ("Cookie", "sid=1"),
            ("Sec-WebSocket-Protocol", "chat.v1, other"),
            ("X-Empty", ""),
        ]
        client, own = server.connect(headers=headers)
        assert "Sec-WebSocket-Protocol: chat.v1" in own.response
        assert client.request.subprotocol == "chat.v1"
        assert client.request.cookies == {"sid": "1"}
        assert client.request.headers["x-empty"] == ""
        assert client.request.headers["upgrade"] == "websocket"
        assert client.request.query == "id=a"


def test_no_subprotocol_in_common() -> None:
    with wssend.WSHub(subprotocols=["chat"]) as hub:
        listener = hub.listen("127.0.0.1", 0)
        with Client(listener.url, headers=[("Sec-WebSocket-Protocol", "x")]):
            assert hub.clients()[0].request.subprotocol is None
