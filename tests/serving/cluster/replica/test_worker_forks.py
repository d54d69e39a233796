"""What a worker has loaded before it forks, and that its forks, which are many, load no more."""

from __future__ import annotations

import subprocess
import sys

from clipper_site.stack.layout import ROOT

FORK = """
import os, sys
from clipper_site.worker import app
import django
django.setup()
from celery.concurrency import asynpool, prefork
from celery.app import log
from serving.cluster.parent import Lifeline
from serving.cluster.replica import worker_signals as worker
from serving.cluster.replica.watchdog import WatchTable
app.loader.import_default_modules()
app.finalize()
worker._lifeline, worker._table = Lifeline(), WatchTable()
worker.preload()
looked_for = {"sklearn", "numpy", "serving.cluster.replica.replica_process"}
print("preloaded", *looked_for & set(sys.modules))
sys.stdout.flush()
known = set(sys.modules)
pid = os.fork()
if pid == 0:
    prefork.process_initializer(app, "cpu@here")
    print("loaded", *sorted(set(sys.modules) - known), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
"""


def test_a_fork_loads_no_module_before_it_has_a_replica() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK],
        cwd=ROOT,
        env={
            "DJANGO_SETTINGS_MODULE": "clipper_site.settings",
            "DJANGO_SECRET_KEY": "k" * 50,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, loaded = done.stdout.splitlines()
    # What models need is in the fork server alone.
    assert before.split() == ["preloaded", "serving.cluster.replica.replica_process"]
    assert loaded.split() == ["loaded"]
