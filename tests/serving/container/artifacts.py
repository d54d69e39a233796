"""Artifacts for tests: files with their digests."""

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serving.container.loading import load_predictor
from serving.container.predictor import Predictor
from serving.container.spec import LoadSpec
from serving.rpc.frames.codec import AnswerStatus

ROOT = Path(__file__).resolve().parents[3]
WHERE = """
from pathlib import Path

class Predictor:
    def __init__(self, path):
        self.path = path

    def pred_batch(self, inputs):
        return [str(self.path)] * len(inputs)
"""


def run_python(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, as a replica's process runs."""
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def zipped_folder(folder: Path, *, within: str = "") -> bytes:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return zipped({f"{within}{file.relative_to(folder)}": file.read_bytes() for file in files})


def zip_file(files: dict[str, str | bytes], *, at: Path) -> Path:
    at.write_bytes(zipped(files))
    return at


def save(content: bytes | str, *, at: Path) -> dict[str, Any]:
    """Write an artifact; return what a LoadSpec needs to find and trust it."""
    content = content.encode() if isinstance(content, str) else content
    at.write_bytes(content)
    return {"artifact": at, "sha256": hashlib.sha256(content).hexdigest()}


def load_python(content: bytes | str, *, at: Path, **options: Any) -> Predictor:
    options = {"input_type": "json"} | options
    return load_predictor(LoadSpec(runtime="python", **save(content, at=at), **options))


def load_sklearn(model: Any, *, at: Path, **options: Any) -> Predictor:
    import skops.io  # the environments of other frameworks have none

    options = {"input_type": "doubles"} | options
    content = model if isinstance(model, bytes) else skops.io.dumps(model)
    return load_predictor(LoadSpec(runtime="sklearn", **save(content, at=at), **options))


def load_as(runtime: str, content: bytes, *, at: Path, **options: Any) -> Predictor:
    options = {"input_type": "doubles"} | options
    return load_predictor(LoadSpec(runtime=runtime, **save(content, at=at), **options))


def answered(predictor: Predictor, rows: Any) -> list[Any]:
    """Return a model's answer to each of these rows of numbers."""
    answers = predictor.answer_batch([json.dumps(row).encode() for row in as_lists(rows)])
    failures = [answer for answer in answers if answer.status is not AnswerStatus.OK]
    assert failures == []
    return [json.loads(answer.payload) for answer in answers]


def as_lists(rows: Any) -> list[Any]:
    return rows.tolist() if hasattr(rows, "tolist") else list(rows)
