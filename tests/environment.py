"""The environment of the tests, set before Django reads its settings (loaded with `-p`)."""

import atexit
import gc
import os
import secrets
import shutil
import signal
import tempfile

FOLDER = tempfile.mkdtemp(prefix="clipper-tests-")
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)

# That of the run's first process, whose environment the others have.
OF_ALL = os.environ.setdefault("TESTS_FOLDER_OF_ALL", FOLDER)

os.environ["DJANGO_SECRET_KEY"] = secrets.token_urlsafe(48)
os.environ["CLIPPER_VAR"] = FOLDER
for name in ("CLIPPER_RUN_DIR", "DATABASE_URL", "REDIS_URL", "CLIPPER_HTTPS", "CLIPPER_DEBUG"):
    os.environ.pop(name, None)

# Beside the other processes of the suite a check of the lowest priority would wait for minutes.
os.environ["CLIPPER_CHECK_NICE"] = "0"

# Linear algebra of several threads, each waiting for the others on cores that other processes use
# too, took a hundred times the time for a fit. Replicas get the threads of their versions anyway.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

# Where collected static files lie: whitenoise warns where the folder is missing.
os.mkdir(os.path.join(FOLDER, "static"))  # noqa: PTH102, PTH118  (before anything is set up)

# A shell that starts us in the background has us ignore Ctrl-C, and with us all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Modules and collected tests stay. Looking through them for garbage, again and again, would take a
# tenth of the time.
gc.disable()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()
