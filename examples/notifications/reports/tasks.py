"""What takes long, in a Celery worker."""

import time

from celery import shared_task
from django.conf import settings

from wssend.django import send_to_user

from .models import Job


@shared_task
def build(job_id: int) -> None:
    """Build a report, and tell its user how far it is."""
    job = Job.objects.get(pk=job_id)
    while job.percent < 100:
        time.sleep(settings.REPORT_STEP)  # where the work would be
        job.percent += 10
        job.save(update_fields=["percent"])
        send_to_user(job.user_id, job.as_message())
