"""Tasks and signals that a worker finds when it starts, and their names."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
NAMES = {"serve_replica", "check_version"}
LOOK = """
import sys

from celery.signals import worker_ready
from clipper_site.worker import app

app.loader.import_default_modules()
ours = [name for name in app.tasks if not name.startswith("celery.")]
print(*ours)
print(*{app.amqp.router.route({}, name)["queue"].name for name in ours})
print(*(receiver().__name__ for _, receiver in worker_ready.receivers))
print(*{name for name in ALONE if name in sys.modules})
"""
# What models, pages, secrets of remote models and Celery's other commands need.
ALONE = ("numpy", "django.contrib.admin", "rest_framework", "cryptography.fernet", "celery.bin")


def test_a_worker_finds_each_task_and_loads_nothing_in_vain() -> None:
    run = subprocess.run(
        [sys.executable, "-c", f"ALONE = {ALONE}{LOOK}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=True,
    )
    tasks, queues, receivers, for_nothing = run.stdout.splitlines()
    assert set(tasks.split()) == {f"serving.cluster.tasks.{name}" for name in NAMES}
    assert queues.split() == ["control"]
    assert set(receivers.split()) >= {"watch_over_forks", "begin_rounds", "move_replicas_first"}
    # The process that keeps the cluster as wanted does without, and so without the memory.
    assert for_nothing == ""
