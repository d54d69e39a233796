"""The Celery application: the cluster engine that runs replicas and keeps them as wanted."""

import logging.config
import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clipper_site.settings")
# A worker serves no URLs: checking them would import the whole console into every replica.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

app = Celery("clipper")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["serving.cluster.replica"])
app.autodiscover_tasks(["serving.cluster.control.checks"], related_name="check_task")
app.autodiscover_tasks(["serving.cluster.control"], related_name="schedule")
app.autodiscover_tasks(["serving.cluster.control.moves"], related_name="leaving")
app.autodiscover_tasks(["serving.alerts"], related_name="alert_rhythms")


@setup_logging.connect
def use_django_logging(**_: Any) -> None:
    """Log as every other process of the stack does; connecting keeps Celery from doing its own."""
    from django.conf import settings

    logging.config.dictConfig(settings.LOGGING)
    # They write a line at INFO about every task.
    for name in ("celery.app.trace", "celery.worker.strategy"):
        logging.getLogger(name).setLevel(logging.WARNING)
