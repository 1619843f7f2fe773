"""Its pages."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate, login, logout
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

import wssend
from wssend.django import broadcast, publish, send_to_user


@csrf_exempt
def log_in(request: Any) -> HttpResponse:
    """POST name and password."""
    user = authenticate(
        request, username=request.POST["name"], password=request.POST["password"]
    )
    if user is None:
        return HttpResponse(status=403)
    login(request, user)
    return HttpResponse(status=204)


@csrf_exempt
def log_out(request: Any) -> HttpResponse:
    """POST."""
    logout(request)
    return HttpResponse(status=204)


@csrf_exempt
def push(request: Any) -> HttpResponse:
    """POST text, and user or topic."""
    data = {"text": request.POST["text"]}
    try:
        if "user" in request.POST:
            send_to_user(request.POST["user"], data)
        elif "topic" in request.POST:
            publish(request.POST["topic"], data)
        else:
            broadcast(data)
    except wssend.WSSendError as error:
        return HttpResponse(f"{type(error).__name__}: {error}", status=503)
    return HttpResponse(status=204)


def page(request: Any) -> HttpResponse:
    """Show what arrives."""
    return render(request, "page.html")


urlpatterns = [
    path("", page),
    path("login/", log_in),
    path("logout/", log_out),
    path("push/", push),
]
