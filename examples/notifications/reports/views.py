"""The pages."""

from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from wssend.django import broadcast, send_to_user

from .models import Job
from .tasks import build


@login_required
def index(request: HttpRequest) -> HttpResponse:
    """Show the page, which fetches and then receives the rest."""
    return render(request, "reports/index.html")


@login_required
def jobs(request: HttpRequest) -> HttpResponse:
    """Tell what there is, for a page that has just connected."""
    latest = Job.objects.filter(user=request.user).order_by("-pk")[:8]
    return JsonResponse({"jobs": [job.as_message() for job in latest]})


@login_required
@require_POST
def start(request: HttpRequest) -> HttpResponse:
    """Start a report; nothing is pushed unless the row is there."""
    with transaction.atomic():
        title = request.POST.get("title", "")[:60] or "Report"
        job = Job.objects.create(user=request.user, title=title)
        send_to_user(request.user, job.as_message(), on_commit=True)
        transaction.on_commit(lambda: build.delay(job.pk))
    return HttpResponse(status=204)


@login_required
@require_POST
def announce(request: HttpRequest) -> HttpResponse:
    """Tell everybody something."""
    text = request.POST.get("text", "")[:200]
    broadcast({"type": "note", "from": request.user.get_username(), "text": text})
    return HttpResponse(status=204)
