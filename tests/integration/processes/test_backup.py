"""A backup of a loaded stack, restored beside it, goes on with all that was acknowledged."""

import json
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.conftest import FIRST_CONTEXT, Digits, copy_of, make_application
from tests.integration.stack import Stack, eventually, post
from tests.site import manage

CONTEXT = "labelled"


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="clipper-backup-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def restored(backup: Path, var: Path) -> tuple[int, str]:
    """Return the exit status of a restore, and what it printed."""
    done = manage.run("manage.py", "restore", str(backup), var=var, DJANGO_SECRET_KEY="")
    return done.returncode, done.stdout + done.stderr


@pytest.mark.long
def test_a_backup_of_a_loaded_stack_answers_alike(
    first: Stack, digits: Digits, folder: Path
) -> None:
    stack, backup, var = Stack(var=copy_of(first, to=folder / "one")), folder / "b", folder / "two"
    beside, stopping = Stack(var=var), threading.Event()
    labelled: list[int] = []

    def label(client: httpx.Client, application: str, number: int) -> int:
        asked = {"input": digits[0][number], "context": CONTEXT}
        receipt = post(client, f"{application}/predict", asked)["query_id"]
        item = {"query_id": receipt, "label": digits[1][number]}
        return int(post(client, f"{application}/feedback", item)["accepted"])

    def go_on_labelling() -> None:
        with stack.client() as client:
            while not stopping.is_set():
                labelled.append(label(client, "loaded", len(labelled) % len(digits[0])))

    labelling = threading.Thread(target=go_on_labelling, daemon=True)
    try:
        stack.start()
        for application in ("alike", "loaded"):
            make_application(stack, name=application, policy="exp4")
        with stack.client() as client:
            assert sum(label(client, "alike", number) for number in range(50)) == 50
        labelling.start()
        eventually(lambda: len(labelled) > 50, seconds=60, what="labels")
        before = len(labelled)
        stack.manage("backup", str(backup))
        stopping.set()
        labelling.join(timeout=60)
        assert all(mode & 0o077 == 0 for mode in (p.stat().st_mode for p in backup.rglob("*")))
        status, said = restored(backup, var)
        assert status == 0, said
        beside.start()
        assert beside.rebuilt("loaded", "--dry-run").endswith("Redis has the same.")
        (count,) = {arm["feedback"] for arm in beside.learned("loaded", context=CONTEXT)}
        assert before <= count <= len(labelled)
        assert beside.feedback_rows(context=CONTEXT, wait_for=count + 50) == count + 50
        asked = [[number + n * 1e-9 for number in x] for n in range(4) for x in digits[0][:250]]
        assert answers(stack, asked) == answers(beside, asked)
        for application, context in (("alike", CONTEXT), ("digits", FIRST_CONTEXT)):
            assert rewards(beside, application, context) == rewards(stack, application, context)
    finally:
        stopping.set()
        stack.end()
        beside.end()

    status, said = restored(backup, var)
    assert (status, "Expected an empty folder" in said) == (1, True), said
    artifact = next(file for file in sorted((backup / "artifacts").rglob("*")) if file.is_file())
    changed = bytearray(artifact.read_bytes())
    changed[len(changed) // 2] ^= 1
    artifact.write_bytes(changed)
    status, said = restored(backup, folder / "three")
    assert (status, "isn't what was backed up" in said) == (1, True), said
    manifest = json.loads((backup / "manifest.json").read_text())
    (backup / "manifest.json").write_text(json.dumps(manifest | {"version": "99.0"}))
    status, said = restored(backup, folder / "three")
    assert (status, "newer release" in said) == (1, True), said
    assert not (folder / "three").exists()


def rewards(stack: Stack, application: str, context: str) -> list[Any]:
    """Return what feedback has left of each arm; its weight falls too when an answer is late."""
    arms = stack.learned(application, context=context)
    return [(arm["model"], arm["feedback"], arm["reward"], arm["reward_interval"]) for arm in arms]


def answers(stack: Stack, inputs: list[list[float]]) -> list[Any]:
    with stack.client() as client:
        asked = [{"input": input, "context": CONTEXT} for input in inputs]
        found = [post(client, "alike/predict", each) for each in asked]
    assert not any(answer["default"] for answer in found)
    return [(answer["output"], sorted(answer["models"])) for answer in found]
