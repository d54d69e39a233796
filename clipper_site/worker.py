"""python -m clipper_site.worker -Q QUEUE ...: `celery worker`, without Celery's other commands.

These import a shell with all that one has: 7 MiB of each worker, for as long as it lives.
"""

from __future__ import annotations

from celery.bin.base import CLIContext
from celery.bin.worker import worker

from clipper_site.celery import app

if __name__ == "__main__":
    worker.main(obj=CLIContext(app=app, no_color=True, workdir=None), prog_name="celery worker")
