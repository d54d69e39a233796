"""A version is tried out in a process of its own; whatever it does, a reason comes back."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from registry.specs import VersionSpec
from serving.cluster.control.trial import Aborted, try_out
from serving.testing import version_spec
from tests.examples.example import zipped

GOOD = """
class Predictor:
    def __init__(self, path): {construct}
    def pred_batch(self, inputs): return [0] * len(inputs)
"""
# Wherever its process tells how the check went.
IS_PIPE = "os.path.exists(f'/proc/self/fd/{fd}') and 'pipe' in os.readlink(f'/proc/self/fd/{fd}')"
SAYS_NONSENSE = f"[os.write(fd, b'[' * 50_000) for fd in range(3, 64) if {IS_PIPE}]"


def a_version(folder: Path, *, construct: str) -> tuple[VersionSpec, Path]:
    artifact = folder / "predictor.py"
    artifact.write_text(GOOD.format(construct=construct))
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
    version = version_spec(model="svm", runtime="python", digest=digest, allow_pickle=True)
    return version, artifact


def test_a_good_version_has_no_fault(tmp_path: Path) -> None:
    version, artifact = a_version(tmp_path, construct="print('hello')")

    trial = try_out(version, artifact=artifact)

    assert trial.fault is None
    assert trial.n_features is None
    assert trial.output == "hello\n"


def test_a_good_executable_is_tried_out_though_its_check_is_confined_too(tmp_path: Path) -> None:
    version, artifact = a_version(tmp_path, construct="pass")
    artifact.write_bytes(zipped())
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()

    trial = try_out(replace(version, runtime="command", digest=digest), artifact=artifact)

    assert (trial.fault, trial.failure) == (None, None)


def test_a_trial_tells_how_many_numbers_the_version_takes(tmp_path: Path) -> None:
    version, artifact = a_version(tmp_path, construct="self.n_features = 7")

    trial = try_out(version, artifact=artifact)

    assert (trial.fault, trial.n_features) == (None, 7)


def test_what_the_model_raised_is_the_fault(tmp_path: Path) -> None:
    version, artifact = a_version(tmp_path, construct="raise ValueError('no weights')")

    fault = try_out(version, artifact=artifact).fault

    assert fault is not None
    assert "ValueError: no weights" in fault


def test_what_it_raised_is_the_fault_however_many_bytes_its_words_take(tmp_path: Path) -> None:
    words = "\N{SNOWMAN}" * 1900
    version, artifact = a_version(tmp_path, construct=f"raise OSError({words!r})")

    trial = try_out(version, artifact=artifact)

    assert trial.failure is not None, trial.fault
    assert words in trial.failure.error
    assert "predictor.py" in trial.failure.traceback


@pytest.mark.parametrize(
    ("construct", "expected"),
    [
        ("import os; os._exit(3)", "exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "signal 9"),
        (f"import os; {SAYS_NONSENSE}; os._exit(4)", "exit code 4"),
    ],
)
def test_a_model_that_ends_the_process_is_told_apart(
    tmp_path: Path, construct: str, expected: str
) -> None:
    version, artifact = a_version(tmp_path, construct=construct)

    fault = try_out(version, artifact=artifact).fault

    assert fault == f"the process that tried the model out ended with {expected} and said nothing"


def test_a_model_that_never_comes_up_runs_out_of_time(tmp_path: Path) -> None:
    version, artifact = a_version(tmp_path, construct="import time; time.sleep(60)")
    beats: list[int] = []

    fault = try_out(
        replace(version, load_timeout_s=2), artifact=artifact, meanwhile=lambda: beats.append(1)
    ).fault

    assert fault == "the model did not load and answer within 2 s"
    assert beats


def test_a_validation_can_be_given_up(tmp_path: Path) -> None:
    version, artifact = a_version(tmp_path, construct="import time; time.sleep(60)")

    def give_up() -> None:
        raise Aborted

    with pytest.raises(Aborted):
        try_out(version, artifact=artifact, meanwhile=give_up)


def test_the_system_s_secrets_are_kept_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SECRET_KEY", "secret")
    version, artifact = a_version(
        tmp_path, construct="import os; raise KeyError(sorted(os.environ))"
    )

    fault = try_out(version, artifact=artifact).fault

    assert fault is not None
    assert "OMP_NUM_THREADS" in fault
    assert "DJANGO_SECRET_KEY" not in fault
