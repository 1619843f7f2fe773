"""A shop in Flask whose views push: to one customer, and to everybody.

Any number of workers may run it: the hub is a process of its own.
"""

from __future__ import annotations

import json
import os

from flask import Flask, Response, abort, jsonify, request, session

import wssend
from wssend.auth import Tickets

app = Flask(__name__)
app.secret_key = os.environ["SECRET"]
tickets = Tickets(os.environ["SECRET"])
remote = wssend.connect(os.environ.get("HUB_SOCKET", "unix:/tmp/flask_push.sock"))


def who() -> str:
    """Return the user who asks; 401 if nobody is logged in."""
    if "user" not in session:
        abort(401)
    return str(session["user"])


def field(name: str) -> str:
    """Return a field of the JSON that was sent; 400 if it is not there."""
    body = request.get_json()
    if not isinstance(body, dict) or not isinstance(body.get(name), str):
        abort(400, f"{name} is missing")
    return str(body[name])


@app.get("/")
def index() -> Response:
    """Show the page."""
    return app.send_static_file("index.html")


@app.post("/login")
def login() -> Response:
    """Log in as anybody: a real application asks for a password."""
    session["user"] = field("user") or abort(400, "user is empty")
    return jsonify(user=session["user"])


@app.post("/ticket")
def ticket() -> Response:
    """Return what the page connects to the hub with, once and soon."""
    port = os.environ.get("HUB_PORT", "8765")  # behind a proxy: the same as ours
    return jsonify(ticket=tickets.issue(who()), port=port)


@app.post("/orders")
def order() -> tuple[Response, int]:
    """Take an order, and tell all tabs and devices of the customer."""
    event = {"type": "order", "item": field("item")}
    try:
        remote.send_to_user(who(), json.dumps(event))  # returns at once
    except wssend.WSSendError as error:  # no hub, or it is far behind
        app.logger.warning("not pushed: %s", error)  # the order counts all the same
    return jsonify(event), 201


@app.post("/news")
def news() -> Response:
    """Tell everybody, and say how many they are."""
    event = {"type": "news", "text": field("text"), "from": who()}
    try:
        report = remote.publish("news", json.dumps(event), wait=2.0)
    except (wssend.WSSendError, TimeoutError) as error:
        abort(503, str(error))
    return jsonify(reached=report.queued, slow=len(report.full))
