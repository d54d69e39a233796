"""What becomes of a batch whose model dies, or answers more than fits, in a process of its own."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from serving.cluster.parent import process_lives
from serving.container.child.link import EX_SOFTWARE
from tests.serving.cluster.wait_until import wait_for
from tests.serving.container.artifacts import run_python
from tests.serving.container.runtimes.test_command_runtime import SAYS_HELLO

# Loads the artifact as a replica does, asks it, and prints how each input was answered.
REPLICA = """
import json, sys
from pathlib import Path
from serving.container.child.child_process import ChildPredictor
from serving.container.spec import LoadSpec
from serving.container.loading import load_predictor

runtime, path, digest, inputs = sys.argv[1:]
kept = {"runtime": runtime, "sha256": digest, "input_type": "doubles"}
if runtime == "command":
    predictor = load_predictor(LoadSpec(artifact=Path(path), **kept))
else:
    predictor = ChildPredictor(LoadSpec(artifact=Path(path), **kept))
print("loaded", flush=True)
answers = predictor.answer_batch([text.encode() for text in json.loads(inputs)])
print(json.dumps([(answer.status.name, len(answer.payload)) for answer in answers]), flush=True)
predictor.close()
"""
# Answers each input with so many letters, unless it is the one that no process survives.
MODEL = """
import os, sys, time

class Predictor:
    def __init__(self, path):
        {first}

    def pred_batch(self, inputs):
        if any(row[0] == 666 for row in inputs):
            os._exit(3)
        return ["x" * int(row[0]) for row in inputs]
"""
# Writes down who it is, and would live on with whatever it has inherited.
FORKS = """
        if (pid := os.fork()) == 0:
            os.setsid()
            time.sleep(300)
        print("helper", pid, file=sys.stderr, flush=True)
"""
DIES_WHEN_ASKED = SAYS_HELLO + "peer.recv(1)\nos._exit(3)\n"
LAST_WORDS = "its last words"
# As much as a pipe takes, at once.
SPEAKS_AND_DIES = f"os.write(2, b'x' * 60000 + b'\\n{LAST_WORDS}\\n'); os._exit(3)"


def asked(
    inputs: list[str], *, folder: Path, artifact: str, runtime: str = "python"
) -> subprocess.CompletedProcess[str]:
    path = folder / "artifact"
    path.write_text(artifact)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return run_python(REPLICA, runtime, path, digest, json.dumps(inputs))


@pytest.mark.parametrize(
    ("runtime", "artifact"),
    [("python", MODEL.format(first="pass")), ("command", DIES_WHEN_ASKED)],
)
def test_a_batch_that_its_model_dies_of_is_not_answered(
    tmp_path: Path, runtime: str, artifact: str
) -> None:
    """So that the web process looks for the input that it died of, and asks for the others."""
    ended = asked(["[1]", "[666]"], folder=tmp_path, artifact=artifact, runtime=runtime)
    assert (ended.returncode, ended.stdout) == (EX_SOFTWARE, "loaded\n"), ended.stderr


@pytest.mark.parametrize("runtime", ["python", "command"])
def test_what_it_said_as_it_died_is_heard(tmp_path: Path, runtime: str) -> None:
    dies = {
        "python": MODEL.format(first="pass").replace("os._exit(3)", SPEAKS_AND_DIES),
        "command": f"{SAYS_HELLO}peer.recv(1)\n{SPEAKS_AND_DIES}\n",
    }
    ended = asked(["[666]"], folder=tmp_path, artifact=dies[runtime], runtime=runtime)
    assert ended.returncode == EX_SOFTWARE
    assert f"{LAST_WORDS}\n" in ended.stderr


@pytest.mark.parametrize(
    ("runtime", "artifact"),
    [
        ("python", MODEL.format(first=FORKS.strip())),
        ("command", f"{SAYS_HELLO}if True:{FORKS}peer.recv(1)\nos._exit(3)\n"),
    ],
)
def test_its_death_is_seen_where_something_that_it_has_forked_lives_and_ends_with_it(
    tmp_path: Path, runtime: str, artifact: str
) -> None:
    ended = asked(["[666]"], folder=tmp_path, artifact=artifact, runtime=runtime)
    (helper,) = [line.split()[1] for line in ended.stderr.splitlines() if line.startswith("helper")]
    assert (ended.returncode, ended.stdout) == (EX_SOFTWARE, "loaded\n"), ended.stderr
    wait_for(lambda: not process_lives(int(helper)), within_s=60, what="its helper's end")


# Breaks in a function of its own, or by a signal from outside while it waits for a batch.
BREAKS = """
import os, signal, threading

class Predictor:
    def __init__(self, path):
        pass

    def pred_batch(self, inputs):
        if inputs[0][0] == 1:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGSEGV)).start()
            return [0]
        return self.break_down()

    def break_down(self):
        os.kill(os.getpid(), signal.SIGSEGV)
"""
TOLD = """
import sys, time
from pathlib import Path
from serving.container.child.child_process import ChildPredictor
from serving.container.spec import LoadSpec

path, digest, asked = sys.argv[1:]
spec = LoadSpec(runtime="python", artifact=Path(path), sha256=digest, input_type="doubles")
predictor = ChildPredictor(spec, on_broken=lambda failure: print(failure.traceback, flush=True))
predictor.answer_batch([asked.encode()])
time.sleep(40)
"""


@pytest.mark.parametrize(
    ("asked_for", "functions"), [("[0]", ["pred_batch", "break_down"]), ("[1]", [])]
)
def test_where_it_broke_is_in_the_model_s_own_code_or_nowhere(
    tmp_path: Path, asked_for: str, functions: list[str]
) -> None:
    path = tmp_path / "artifact"
    path.write_text(BREAKS)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    ended = run_python(TOLD, path, digest, asked_for)
    assert ended.returncode == EX_SOFTWARE, ended.stderr
    frames = [line for line in ended.stdout.splitlines() if line.startswith("  File")]
    assert [frame.rpartition(" in ")[2] for frame in frames] == functions, ended.stderr


def test_a_model_that_speaks_in_its_process_s_place_is_not_believed(tmp_path: Path) -> None:
    pipes = "fd for fd in range(3, 64) if os.path.exists(f'/proc/self/fd/{fd}')"
    pipes += " and 'pipe' in os.readlink(f'/proc/self/fd/{fd}')"
    nonsense = f"[os.write(fd, b'[' * 50_000 + b'\\n') for fd in [{pipes}]]"
    ended = asked(["[1]"], folder=tmp_path, artifact=MODEL.replace("{first}", nonsense))
    assert "LoadFailed: its process spoke out of turn: b'[[[" in ended.stderr
