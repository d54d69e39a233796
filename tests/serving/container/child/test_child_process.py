"""A model in a process of its own: what it says, breaks and fails of is known to its replica."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from serving.cluster.parent import process_lives
from serving.container.child.child_process import ChildPredictor
from serving.container.child.link import EX_SOFTWARE
from serving.container.failures.container_errors import LoadFailed
from serving.container.failures.recent_failures import MOST_KINDS
from serving.container.spec import LoadSpec
from tests.serving.cluster.wait_until import wait_for
from tests.serving.container.artifacts import ROOT, run_python, save
from tests.serving.container.runtimes.test_command_runtime import SAYS_HELLO

SPEC = """
import json, sys, time
from pathlib import Path
from serving.container.child.child_process import ChildPredictor
from serving.container.loading import load_predictor
from serving.container.spec import LoadSpec

runtime, path, digest, given = sys.argv[1:]
spec = LoadSpec(runtime=runtime, artifact=Path(path), sha256=digest, input_type="doubles")
"""
# Loads the artifact as a replica does, asks it, and prints how each input was answered.
REPLICA = """
predictor = load_predictor(spec) if runtime == "command" else ChildPredictor(spec)
print("loaded", flush=True)
answers = predictor.answer_batch([text.encode() for text in json.loads(given)])
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


def run_replica(
    program: str, *, given: object, artifact: str, folder: Path, runtime: str = "python"
) -> subprocess.CompletedProcess[str]:
    saved = save(artifact, at=folder / "predictor.py")
    arguments = (saved["artifact"], saved["sha256"], given)
    return run_python(SPEC + program, runtime, *arguments)


def asked(
    inputs: list[str], *, folder: Path, artifact: str, runtime: str = "python"
) -> subprocess.CompletedProcess[str]:
    given = json.dumps(inputs)
    return run_replica(REPLICA, given=given, artifact=artifact, folder=folder, runtime=runtime)


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
TELLS_WHERE = """
predictor = ChildPredictor(spec, on_broken=lambda failure: print(failure.traceback, flush=True))
predictor.answer_batch([given.encode()])
time.sleep(40)
"""


@pytest.mark.parametrize(
    ("given", "functions"), [("[0]", ["pred_batch", "break_down"]), ("[1]", [])]
)
def test_where_it_broke_is_in_the_model_s_own_code_or_nowhere(
    tmp_path: Path, given: str, functions: list[str]
) -> None:
    ended = run_replica(TELLS_WHERE, given=given, artifact=BREAKS, folder=tmp_path)
    assert ended.returncode == EX_SOFTWARE, ended.stderr
    frames = [line for line in ended.stdout.splitlines() if line.startswith("  File")]
    assert [frame.rpartition(" in ")[2] for frame in frames] == functions, ended.stderr


def test_a_model_that_speaks_in_its_process_s_place_is_not_believed(tmp_path: Path) -> None:
    pipes = "fd for fd in range(3, 64) if os.path.exists(f'/proc/self/fd/{fd}')"
    pipes += " and 'pipe' in os.readlink(f'/proc/self/fd/{fd}')"
    nonsense = f"[os.write(fd, b'[' * 50_000 + b'\\n') for fd in [{pipes}]]"
    ended = asked(["[1]"], folder=tmp_path, artifact=MODEL.replace("{first}", nonsense))
    assert "LoadFailed: its process spoke out of turn: b'[[[" in ended.stderr


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


# Neither print is flushed, and the model is asked and still alive when its words are looked at.
SPEAKS = """
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
IS_HEARD = """
predictor = ChildPredictor(spec)
predictor.answer_batch([b"[1]"])
sys.stdin.read()  # until its words were heard
"""


def test_what_a_model_prints_is_heard_while_it_lives(artifact_file: Path) -> None:
    saved = save(SPEAKS, at=artifact_file)
    arguments = ["python", str(artifact_file), saved["sha256"], ""]
    replica = subprocess.Popen(
        [sys.executable, "-c", SPEC + IS_HEARD, *arguments],
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


# Each input fails in a line of its own, with words that take several bytes a letter.
WORDS = "\N{SNOWMAN}" * 1900
FAILS = """
class Predictor:
    def __init__(self, path):
        pass

    def pred_batch(self, inputs):
        kind = int(inputs[0][0])
""" + "\n".join(
    f"        if kind == {kind}: raise ValueError({WORDS!r})" for kind in range(MOST_KINDS)
)
ASKS = """
predictor = ChildPredictor(spec)
for kind in range(int(given)):
    predictor.answer_batch([b"[%d]" % kind])
"""
HEARD = """
heard = {}
while len(heard) < int(given):
    heard |= {failure.kind: len(failure.error) for failure in predictor.failures.take()}
    time.sleep(0.05)
print(json.dumps(list(heard.values())))
predictor.close()
"""
CLOSED = """
predictor.close()
print(json.dumps([len(failure.error) for failure in predictor.failures.take()]))
"""


@pytest.mark.parametrize("then", [HEARD, CLOSED], ids=["heard", "closed"])
def test_as_many_kinds_of_failures_as_there_may_be_are_heard(tmp_path: Path, then: str) -> None:
    done = run_replica(ASKS + then, given=MOST_KINDS, artifact=FAILS, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    lengths: list[int] = json.loads(done.stdout)
    assert len(lengths) == MOST_KINDS
    assert min(lengths) > len(WORDS)
