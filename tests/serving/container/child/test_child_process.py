"""What a model writes in its own process comes out at once and in order, while it lives."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from serving.container.child.child_process import ChildPredictor
from serving.container.failures.container_errors import LoadFailed
from serving.container.spec import LoadSpec
from tests.serving.container.artifacts import save

ROOT = Path(__file__).resolve().parents[4]

# Neither print is flushed, and the model is asked and still alive when its words are looked at.
MODEL = """
import sys

class Predictor:
    def __init__(self, path):
        print("first, printed")
        sys.stderr.write("second, to stderr\\n")
        print("third, printed")

    def pred_batch(self, inputs):
        print("asked")
        return [0] * len(inputs)
"""
REPLICA = """
import sys
from pathlib import Path
from serving.container.child.child_process import ChildPredictor
from serving.container.spec import LoadSpec

path, digest = Path(sys.argv[1]), sys.argv[2]
spec = LoadSpec(runtime="python", artifact=path, sha256=digest, input_type="doubles")
predictor = ChildPredictor(spec)
predictor.answer_batch([b"[1]"])
sys.stdin.read()  # until its words were heard
"""


def test_what_a_model_prints_is_heard_while_it_lives(tmp_path: Path) -> None:
    artifact = tmp_path / "predictor.py"
    artifact.write_text(MODEL)
    digest = hashlib.sha256(MODEL.encode()).hexdigest()
    replica = subprocess.Popen(
        [sys.executable, "-c", REPLICA, str(artifact), digest],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert replica.stderr is not None
        heard = [replica.stderr.readline().strip() for _ in range(4)]
    finally:
        replica.kill()
        replica.communicate()

    assert heard == ["first, printed", "second, to stderr", "third, printed", "asked"]


# It looks for the pipe on which its process tells of itself.
CLAIMS = """
import os, stat

class Predictor:
    def __init__(self, path):
        for descriptor in range(3, 64):
            try:
                if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                    os.write(descriptor, b'{"base_bytes": 1000000000000}\\n')
            except OSError:
                pass

    def pred_batch(self, inputs):
        return [0] * len(inputs)
"""


def test_a_model_cannot_raise_its_memory_limit_by_what_it_says(artifact_file: Path) -> None:
    spec = LoadSpec(runtime="python", input_type="doubles", **save(CLAIMS, at=artifact_file))
    held: list[int] = []
    with pytest.raises(LoadFailed):
        ChildPredictor(spec, on_started=lambda pid, base: held.append(base))
    assert len(held) == 1
    assert 0 < held[0] < 1 << 30
