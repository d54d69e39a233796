"""Faults of a model's code: at load, in its check, and once it is asked."""

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
# A model that doesn't say what it takes isn't asked in its check.
SILENT = "pass"

of_code = partial(at_check, model=OTHERS)


def _python(**source: str) -> Artifact:
    return lambda folder: python(folder, **source)


OF_CODE = (
    of_code(
        "a package that isn't installed",
        _python(head="import nothing_like_this"),
        traceback='File "predictor.py", line 1, in <module>',
    ),
    of_code("a line that is no Python", _python(head="def :"), traceback="def :"),
    of_code(
        "an exception at load",
        _python(load="open('/nowhere/weights.bin')"),
        traceback="in Predictor.__init__",
    ),
    of_code("sys.exit at load", _python(load="sys.exit('bye')"), traceback="in Predictor.__init__"),
    of_code("os._exit at load", _python(load="os._exit(3)")),
    of_code("a crash at load", _python(load=CRASH), traceback="in __init__"),
    of_code("kill -9 at load", _python(load="os.kill(os.getpid(), 9)")),
    of_code(
        "more memory than its limit, at load",
        _python(load=MUCH),
        fields=SMALL,
        traceback="in Predictor.__init__",
    ),
    of_code(
        "more memory than its limit, at the first batch",
        _python(answer=MUCH),
        fields=SMALL,
        traceback="in Predictor.pred_batch",
    ),
    of_code("an endless load", _python(load=SLEEP), fields=LATE, traceback="in __init__"),
    of_code(
        "an endless load that lets nobody else run",
        _python(load=BUSY),
        fields=LATE,
        traceback="in __init__",
    ),
    of_code(
        "an endless first batch", _python(answer=SLEEP), fields=LATE, traceback="in pred_batch"
    ),
    of_code(
        "an exception at the first batch",
        _python(answer="raise ValueError('negative')"),
        traceback="in Predictor.pred_batch",
    ),
    of_code("NaN as an answer", _python(answer="return [float('nan')] * len(inputs)")),
    of_code("too few answers", _python(answer="return [0.5] * (len(inputs) - 1)")),
    of_code("no answer", _python(answer="pass")),
    of_code("an answer that is no JSON", _python(answer="return [object()] * len(inputs)")),
    of_code("100 MB of output", _python(load=PRINTS), traceback="in Predictor.__init__"),
    of_code("descriptors that are closed", _python(load="os.closerange(0, 256)")),
    of_code("children that stay behind", _python(load=f"{FORKS}; os._exit(4)")),
)

WHEN_LIVE = (
    live("an input of another width", python, asked=(1.0, 2.0), code="invalid_input"),
    live("NaN as an answer", _python(load=SILENT, answer="return [float('nan')] * len(inputs)")),
    live(
        "an exception",
        _python(load=SILENT, answer="raise ValueError('negative')"),
        traceback="in Predictor.pred_batch",
    ),
    live(
        "an answer after the objective",
        _python(load=SILENT, answer="time.sleep(3); return [0.5] * len(inputs)"),
        code="deadline_exceeded",
    ),
    live("a crash", _python(load=SILENT, answer=CRASH), traceback="in pred_batch"),
)
