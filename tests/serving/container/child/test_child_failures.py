"""Failures of a model in a child reach its replica, however much there is to say of them."""

import hashlib
import json
from pathlib import Path

from serving.container.failures.recent_failures import MOST_KINDS
from tests.serving.container.artifacts import run_python

# Each input fails in a line of its own, with words that take several bytes a letter.
MODEL = """
class Predictor:
    def __init__(self, path):
        pass

    def pred_batch(self, inputs):
        kind = int(inputs[0][0])
{lines}
"""
LINE = "        if kind == {kind}: raise ValueError({text!r})"
REPLICA = """
import json, sys, time
from pathlib import Path
from serving.container.child.child_process import ChildPredictor
from serving.container.spec import LoadSpec

path, digest, kinds = sys.argv[1:]
spec = LoadSpec(runtime="python", artifact=Path(path), sha256=digest, input_type="doubles")
predictor = ChildPredictor(spec)
for kind in range(int(kinds)):
    predictor.answer_batch([b"[%d]" % kind])
{then}
"""
HEARD = """
heard = {}
while len(heard) < int(kinds):
    heard |= {failure.kind: len(failure.error) for failure in predictor.failures.take()}
    time.sleep(0.05)
print(json.dumps(list(heard.values())))
predictor.close()
"""
CLOSED = """
predictor.close()
print(json.dumps([len(failure.error) for failure in predictor.failures.take()]))
"""
WORDS = "\N{SNOWMAN}" * 1900


def _told(folder: Path, *, then: str) -> list[int]:
    model = MODEL.format(
        lines="\n".join(LINE.format(kind=kind, text=WORDS) for kind in range(MOST_KINDS))
    )
    artifact = folder / "predictor.py"
    artifact.write_text(model)
    digest = hashlib.sha256(model.encode()).hexdigest()
    done = run_python(REPLICA.replace("{then}", then), artifact, digest, MOST_KINDS)
    assert done.returncode == 0, done.stderr[-2000:]
    lengths: list[int] = json.loads(done.stdout)
    return lengths


def test_as_many_kinds_as_are_told_apart_are_all_heard_and_the_model_lives(tmp_path: Path) -> None:
    lengths = _told(tmp_path, then=HEARD)
    assert len(lengths) == MOST_KINDS
    assert min(lengths) > len(WORDS)


def test_what_it_failed_of_last_is_heard_before_it_has_ended(tmp_path: Path) -> None:
    assert len(_told(tmp_path, then=CLOSED)) == MOST_KINDS
