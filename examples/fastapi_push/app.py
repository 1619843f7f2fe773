"""A job runner in FastAPI: the hub lives in the application's own process and loop.

Endpoints push; who connects shows the same bearer token as who calls an endpoint.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field

import wssend
from wssend import aio
from wssend.auth import JWT, InvalidToken, jwt_authorizer

KEY = os.environ.get("SECRET") or secrets.token_hex(32)
PORT = int(os.environ.get("HUB_PORT", "8765"))
STEP = float(os.environ.get("JOB_STEP", "0.3"))  # seconds
checker = JWT(KEY, algorithms=["HS256"])


async def handler(client: aio.Client) -> None:
    """Keep a client that says nothing; what it says is not for us."""
    async for _ in client:
        client.close(1008, "Call the endpoints.")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Run the hub as long as the application."""
    authorize = jwt_authorizer(checker, topics=["news"], close_code=4401)
    async with aio.serve(handler, "127.0.0.1", PORT, authorize=authorize) as server:
        app.state.hub, app.state.url = server.hub, server.url
        app.state.jobs = set()
        yield
        for job in app.state.jobs:
            job.cancel()


app = FastAPI(lifespan=lifespan)


def current_user(
    token: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())],
) -> str:
    """Return the user who calls."""
    try:
        return checker.user_of(token.credentials)
    except InvalidToken as error:
        raise HTTPException(401, str(error)) from error


def the_hub(request: Request) -> wssend.WSHub:
    """Return the application's hub."""
    hub: wssend.WSHub = request.app.state.hub
    return hub


User = Annotated[str, Depends(current_user)]
Hub = Annotated[wssend.WSHub, Depends(the_hub)]


class Login(BaseModel):
    """Who logs in: a real application asks for a password."""

    user: str = Field(min_length=1, max_length=50)


class News(BaseModel):
    """What is to be told to everybody."""

    text: str = Field(min_length=1, max_length=1000)


@app.get("/")
async def index() -> FileResponse:
    """Show the page."""
    return FileResponse(Path(__file__).with_name("index.html"))


@app.post("/login")
async def login(login: Login, request: Request) -> dict[str, str]:
    """Return a token for the endpoints and for the hub, whose address comes along."""
    claims = {"sub": login.user, "exp": time.time() + 3600}
    token = jwt.encode(claims, KEY, algorithm="HS256")
    return {"token": token, "url": request.app.state.url}


@app.post("/news")
def news(news: News, user: User, hub: Hub) -> dict[str, int]:
    """Tell everybody; a plain function, which FastAPI runs in a thread."""
    event = {"type": "news", "text": news.text, "from": user}
    report = hub.publish("news", json.dumps(event))
    return {"reached": report.queued, "slow": len(report.full)}


@app.post("/jobs", status_code=202)
async def start(user: User, hub: Hub, request: Request) -> dict[str, bool]:
    """Start a job, whose progress all tabs and devices of the user see."""
    job = asyncio.create_task(work(hub, user))
    request.app.state.jobs.add(job)
    job.add_done_callback(request.app.state.jobs.discard)
    return {"watched": bool(hub.clients(user=user))}


async def work(hub: wssend.WSHub, user: str) -> None:
    """Do the job."""
    for percent in range(0, 101, 20):
        hub.send_to_user(user, json.dumps({"type": "progress", "percent": percent}))
        await asyncio.sleep(STEP)


@app.post("/logout")
async def logout(user: User, hub: Hub) -> None:
    """Close all connections of the user."""
    hub.close_user(user, 4401, "logged out")
