"""The same Pipeline over a DataFrame behind MLflow, LitServe, BentoML and FastAPI, as their users
write it.

Each gets what its own documentation begins with: a file for the server where it wants one, the
command that starts it, and a first question.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from clipper_site.stack.layout import free_port
from tests.frameworks.rows import PIPELINE

WITHIN_S = 300.0
# What they have in common, beside the model: it asks until somebody answers.
HARNESS = """
import json as _json
import os as _os
import shlex as _shlex
import signal as _signal
import subprocess as _subprocess
import sys as _sys
import time as _time
from pathlib import Path as _Path
_sys.stdout.reconfigure(line_buffering=True)
row = {{"age": 31, "city": "Rome"}}
_began = _time.perf_counter()
{saving}
_Path("server.py").write_text({file!r})
with open("server.log", "w") as _log:
    _server = _subprocess.Popen(
        [_sys.executable, "-m", *_shlex.split({command!r})], stdout=_log, stderr=_log,
        start_new_session=True,
    )
def _ask():
    while True:
        try:
            {asking}
            return answer
        except httpx.TransportError:
            assert _server.poll() is None, _Path("server.log").read_text()
            _time.sleep(0.05)
try:
    import httpx
    _first = _ask()
    _seconds = _time.perf_counter() - _began
    _expected = model.predict(frame[:1])[0]
    row = {{"age": 31, "town": "Rome"}}
    _refused = _ask()
    print("\\n" + _json.dumps(dict(
        seconds=_seconds, answer=_first.text, expected=str(_expected),
        refused=f"{{_refused.status_code}} {{_refused.text}}",
    )))
finally:
    _os.killpg(_server.pid, _signal.SIGKILL)  # told to end, LitServe leaves some behind
    _server.wait(timeout=30)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A server of models: what its user writes in the notebook, into a file, at the terminal.

    `second` is what a second version beside the first takes there.
    """

    name: str
    saving: str
    file: str = ""
    module: str
    command: str
    asking: str
    second: str

    @property
    def lines(self) -> int:
        """As those of a row of Clipper's are counted; the command is one of them."""
        written = (self.saving, self.file, self.started, "import httpx", self.asking)
        return sum(bool(line.strip()) for text in written for line in text.splitlines())

    @property
    def started(self) -> str:
        """What `python -m` is told."""
        return f"{self.module} {self.command}".strip()


class PeerSeen(msgspec.Struct, frozen=True, kw_only=True):
    """`answer` is the body of the first answer, `refused` what a wrong column was told."""

    seconds: float
    answer: Any
    expected: str
    refused: str


JOBLIB = 'import joblib\njoblib.dump(model, "model.joblib")\n'
FASTAPI = """
import joblib
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel

class Row(BaseModel):
    age: float
    city: str

app = FastAPI()
model = joblib.load("model.joblib")

@app.post("/predict")
def predict(row: Row):
    return model.predict(pd.DataFrame([row.model_dump()]))[0]
"""
BENTOML = """
import bentoml
import joblib
import pandas as pd

@bentoml.service
class Churn:
    def __init__(self):
        self.model = joblib.load("model.joblib")

    @bentoml.api
    def predict(self, age: float, city: str) -> str:
        return self.model.predict(pd.DataFrame([{"age": age, "city": city}]))[0]
"""
LITSERVE = """
import joblib
import litserve
import pandas as pd

class Churn(litserve.LitAPI):
    def setup(self, device):
        self.model = joblib.load("model.joblib")

    def predict(self, row):
        return self.model.predict(pd.DataFrame([row]))[0]

if __name__ == "__main__":
    litserve.LitServer(Churn()).run(port={port}, generate_client_file=False)
"""

PEERS = (
    Peer(
        name="MLflow",
        # It refuses the Pipeline without the list of trusted types.
        saving="import mlflow\n"
        'mlflow.sklearn.save_model(model, "saved", input_example=frame[:2], '
        'skops_trusted_types=["numpy.dtype"])\n',
        module="mlflow",
        command="models serve -m saved -p {port} --env-manager local",
        asking='answer = httpx.post("http://127.0.0.1:{port}/invocations", '
        'json={{"dataframe_records": [row]}}, timeout=60)',
        second="a second server at another port",
    ),
    Peer(
        name="LitServe",
        saving=JOBLIB,
        file=LITSERVE,
        module="server",
        command="",
        asking='answer = httpx.post("http://127.0.0.1:{port}/predict", json=row, timeout=60)',
        second="another path of the same server, which is started anew",
    ),
    Peer(
        name="BentoML",
        saving=JOBLIB,
        file=BENTOML,
        module="bentoml",
        command="serve server:Churn --port {port}",
        asking='answer = httpx.post("http://127.0.0.1:{port}/predict", json=row, timeout=60)',
        second="another service in another folder, at another port",
    ),
    Peer(
        name="FastAPI",
        saving=JOBLIB,
        file=FASTAPI,
        module="uvicorn",
        command="server:app --port {port}",
        asking='answer = httpx.post("http://127.0.0.1:{port}/predict", json=row, timeout=60)',
        second="what you write, and a start anew",
    ),
)


def served(peer: Peer, *, python: Path) -> PeerSeen:
    """Have a peer serve the Pipeline, with a Python that has it. Raises AssertionError."""
    port = free_port()
    asking = peer.asking.format(port=port)
    source = HARNESS.format(
        saving=peer.saving,
        file=peer.file.replace("{port}", str(port)),
        command=peer.started.format(port=port),
        asking=asking,
    )
    with tempfile.TemporaryDirectory(prefix="clipper-peer-") as folder:
        file = Path(folder) / "script.py"
        file.write_text(f"{PIPELINE}\n{source}", encoding="utf-8")
        done = subprocess.run(
            [python, file],
            cwd=folder,
            env={**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
    assert done.returncode == 0, f"{peer.name}: {done.stdout[-1000:]}{done.stderr[-4000:]}"
    return msgspec.convert(json.loads(done.stdout.splitlines()[-1]), PeerSeen)
