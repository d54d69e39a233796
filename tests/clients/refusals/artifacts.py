"""Artifacts that something is wrong with."""

import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import joblib
import numpy as np
import pandas as pd
import skops.io
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from tests.clients.sources import predictor

# Writes what is uploaded into a folder, and returns where it is.
Artifact = Callable[[Path], Any]

DIRECTORY_ENTRY = b"PK\x01\x02"
X = np.random.default_rng(3).normal(size=(40, 4))


def python(
    folder: Path,
    *,
    head: str = "import os, sys, time",
    load: str = "self.n_features = 3",
    answer: str = "return [0.5] * len(inputs)",
) -> Path:
    """A module of three numbers in, one out, unless something else is said."""
    path = folder / "predictor.py"
    path.write_text(predictor(head=head, load=load, answer=answer))
    return path


def written(folder: Path, *, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def zipped(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    path = folder / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def claiming(folder: Path, *, size: int) -> Path:
    """A zip of two small files, each of which is said to have so many bytes."""
    path = zipped(folder, {"predictor.py": "0" * 64, "weights.bin": "0" * 64})
    content = bytearray(path.read_bytes())
    at = content.find(DIRECTORY_ENTRY)
    while at >= 0:
        content[at + 24 : at + 28] = struct.pack("<I", size)
        at = content.find(DIRECTORY_ENTRY, at + 1)
    path.write_bytes(content)
    return path


def linear(width: int) -> LinearRegression:
    return LinearRegression().fit(X[:, :width], X[:, 0])


def skops_of(folder: Path, model: Any) -> Path:
    return written(folder, name="model.skops", content=skops.io.dumps(model))


def of_another_release(folder: Path) -> Path:
    with patch("sklearn.base.__version__", "1.5.0"):
        return skops_of(folder, linear(3))


def pickled(folder: Path) -> Path:
    path = folder / "model.joblib"
    joblib.dump(linear(3), path)
    return path


def of_columns(*names: str) -> Any:
    """A pipeline over a data frame of texts."""
    frame = pd.DataFrame({name: ["Rome", "Oslo", "Rome", "Bonn"] for name in names})
    encoder = OneHotEncoder(handle_unknown="ignore")
    return make_pipeline(encoder, LogisticRegression()).fit(frame, [1, 0, 1, 0])


def wheel_of(folder: Path, *, tag: str) -> Path:
    about = "churn-1.5.dist-info"
    files = {
        "churn.py": "",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: churn\nVersion: 1.5\n",
        f"{about}/WHEEL": f"Wheel-Version: 1.0\nTag: {tag}\n",
        f"{about}/RECORD": "",
    }
    return zipped(folder, files).rename(folder / f"churn-1.5-{tag}.whl")
