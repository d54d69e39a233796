"""What the code of a model does: at load, in its check, and once it is asked."""

from __future__ import annotations

from functools import partial

from tests.clients.refusals.artifacts import Artifact, python
from tests.clients.refusals.cases import OTHERS, at_check, live

LIMIT_S = 10
LATE = {"load_timeout_s": LIMIT_S}
SMALL = {"memory_limit_mb": 128}
MUCH = "self.held = bytearray(b'x') * (400 << 20)"
CRASH = "import ctypes; ctypes.string_at(0)"
SLEEP = "time.sleep(600)"
FORKS = "[os.fork() or time.sleep(600) for _ in range(4)]"
PRINTS = "os.write(1, b'x' * (100 << 20)); raise ValueError('no words')"
# A line of Python's own that never comes back, nor lets another thread run.
BUSY = "import re; re.match('(a+)+$', 'a' * 64 + 'b')"
# Of a model that doesn't say what it takes, and so isn't asked in its check.
SILENT = "pass"

of_code = partial(at_check, model=OTHERS)


def _python(**source: str) -> Artifact:
    return lambda folder: python(folder, **source)


OF_CODE = (
    of_code(
        "a package that isn't installed",
        artifact=_python(head="import nothing_like_this"),
        says="the artifact failed to import: ModuleNotFoundError: No module named "
        "'nothing_like_this'; what it imports and doesn't bring goes into the "
        "version's requirements (requirements=)",
        traceback='File "predictor.py", line 1, in <module>',
    ),
    of_code(
        "an import that fails",
        artifact=_python(head="raise ImportError('no GPU here')"),
        says="the artifact failed to import: ImportError: no GPU here",
        traceback="raise ImportError('no GPU here')",
    ),
    of_code(
        "a line that is no Python",
        artifact=_python(head="def :"),
        says="the artifact failed to import: SyntaxError: invalid syntax (predictor.py, line 1)",
        traceback="def :",
    ),
    of_code(
        "an exception at load",
        artifact=_python(load="open('/nowhere/weights.bin')"),
        says="Predictor(path) failed: FileNotFoundError: [Errno 2] No such file or directory: "
        "'/nowhere/weights.bin'",
        traceback="in Predictor.__init__",
    ),
    of_code(
        "sys.exit at load",
        artifact=_python(load="sys.exit('bye')"),
        says="Predictor(path) failed: SystemExit: bye",
        traceback="in Predictor.__init__",
    ),
    of_code(
        "os._exit at load",
        artifact=_python(load="os._exit(3)"),
        says="the process that tried the model out ended with exit code 3",
    ),
    of_code(
        "a crash at load",
        artifact=_python(load=CRASH),
        says="the process that tried the model out ended with signal 11 (SIGSEGV)",
        traceback="in __init__",
    ),
    of_code(
        "kill -9 at load",
        artifact=_python(load="os.kill(os.getpid(), 9)"),
        says="the process that tried the model out ended with signal 9 (SIGKILL)",
    ),
    of_code(
        "MemoryError at load",
        artifact=_python(load="raise MemoryError"),
        says="Predictor(path) failed: MemoryError",
        traceback="in Predictor.__init__",
    ),
    of_code(
        "more memory than its limit, at load",
        artifact=_python(load=MUCH),
        fields=SMALL,
        says="the model needs more than its memory limit of 128 MiB; it held … MiB when it asked "
        "for more: Predictor(path) failed: MemoryError",
        traceback="in Predictor.__init__",
    ),
    of_code(
        "more memory than its limit, at the first batch",
        artifact=_python(answer=MUCH),
        fields=SMALL,
        says="the model needs more than its memory limit of 128 MiB; it held … MiB when it asked "
        "for more: the model failed to answer 3 zeros: MemoryError",
        traceback="in Predictor.pred_batch",
    ),
    of_code(
        "an endless load",
        artifact=_python(load=SLEEP),
        fields=LATE,
        says="the model did not load and answer within 10 s",
        traceback="in __init__",
    ),
    of_code(
        "an endless load that lets nobody else run",
        artifact=_python(load=BUSY),
        fields=LATE,
        says="the model did not load and answer within 10 s",
        traceback="in __init__",
    ),
    of_code(
        "an endless first batch",
        artifact=_python(answer=SLEEP),
        fields=LATE,
        says="the model did not load and answer within 10 s",
        traceback="in pred_batch",
    ),
    of_code(
        "a crash at the first batch",
        artifact=_python(answer=CRASH),
        says="the process that tried the model out ended with signal 11 (SIGSEGV)",
        traceback="in pred_batch",
    ),
    of_code(
        "an exception at the first batch",
        artifact=_python(answer="raise ValueError('negative')"),
        says="the model failed to answer 3 zeros: ValueError: negative",
        traceback="in Predictor.pred_batch",
    ),
    of_code(
        "NaN as an answer",
        artifact=_python(answer="return [float('nan')] * len(inputs)"),
        says="the model failed to answer 3 zeros: expected a finite output, the model returned NaN "
        "or infinity",
    ),
    of_code(
        "too few answers",
        artifact=_python(answer="return [0.5] * (len(inputs) - 1)"),
        says="the model failed to answer 3 zeros: expected 1 outputs for 1 inputs, got 0",
    ),
    of_code(
        "too many answers",
        artifact=_python(answer="return [0.5] * (len(inputs) + 1)"),
        says="the model failed to answer 3 zeros: expected 1 outputs for 1 inputs, got 2",
    ),
    of_code(
        "no answer",
        artifact=_python(answer="pass"),
        says="the model failed to answer 3 zeros: expected a sequence of 1 outputs, got NoneType",
    ),
    of_code(
        "an answer that is no JSON",
        artifact=_python(answer="return [object()] * len(inputs)"),
        says="the model failed to answer 3 zeros: expected outputs that JSON can hold: TypeError: "
        "got builtins.object",
    ),
    of_code(
        "100 MB of output",
        artifact=_python(load=PRINTS),
        says="Predictor(path) failed: ValueError: no words",
        traceback="in Predictor.__init__",
    ),
    of_code(
        "descriptors that are closed",
        artifact=_python(load="os.closerange(0, 256)"),
        says="the process that tried the model out ended with exit code 1",
    ),
    of_code(
        "children that stay behind",
        artifact=_python(load=f"{FORKS}; os._exit(4)"),
        says="the process that tried the model out ended with exit code 4",
    ),
)

WHEN_LIVE = (
    live(
        "an input of another width",
        artifact=python,
        asked=(1.0, 2.0),
        code="invalid_input",
        says="input: expected 3 numbers, got 2",
    ),
    live(
        "NaN as an answer",
        artifact=_python(load=SILENT, answer="return [float('nan')] * len(inputs)"),
        says="fragile: the model failed: expected a finite output, the model returned NaN or "
        "infinity",
    ),
    live(
        "too few answers",
        artifact=_python(load=SILENT, answer="return [0.5] * (len(inputs) - 1)"),
        says="fragile: the model failed: expected 1 outputs for 1 inputs, got 0",
    ),
    live(
        "an exception",
        artifact=_python(load=SILENT, answer="raise ValueError('negative')"),
        says="fragile: the model failed: ValueError: negative",
        traceback="in Predictor.pred_batch",
    ),
    live(
        "an answer after the objective",
        artifact=_python(load=SILENT, answer="time.sleep(3); return [0.5] * len(inputs)"),
        code="deadline_exceeded",
        says="fragile: none answered within the objective of 2000 ms, and there is no default "
        "output.",
    ),
    live(
        "a crash",
        artifact=_python(load=SILENT, answer=CRASH),
        says="fragile: the model failed: replicas died of this input: it is refused for some "
        "minutes",
        traceback="in pred_batch",
    ),
    live(
        "os._exit",
        artifact=_python(load=SILENT, answer="os._exit(3)"),
        says="fragile: the model failed: replicas died of this input: it is refused for some "
        "minutes",
    ),
)
