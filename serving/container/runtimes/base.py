"""Shared parts of the runtimes: a framework's model, and the folder of its artifact's files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving.container.archive import new_folder, unpack
from serving.container.arrays import in_batches
from serving.container.errors import ArtifactInvalid
from serving.container.inputs import of_tensors
from serving.container.rows import Rows
from serving.container.signature import InputPart, Signature
from serving.container.spec import LoadSpec


class FrameworkModel:
    """A LoadedModel that a subclass gives its `signature` and its `predict`.

    The files in `folder`, if there is one, go when it is closed.
    """

    signature: Signature
    folder: Path | None = None

    @property
    def n_features(self) -> int | None:
        return self.signature.length

    def warm_up(self) -> None:
        """Do nothing: the first batch warms most models."""

    def close(self) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


class TensorModel(FrameworkModel):
    """A function of tensors; `ask` answers as many rows as the model takes at once."""

    # NaN becomes NaN in a network, and a label of that.
    null_is_declared = True

    def __init__(
        self, *, parts: Sequence[InputPart], batches: Sequence[int | None], input_type: str
    ) -> None:
        self._batch = next((size for size in batches if size), None)
        self.signature = of_tensors(input_type, parts)

    def predict(self, inputs: Rows) -> Any:
        return in_batches(inputs, size=self._batch, ask=self.ask)

    def ask(self, rows: Rows) -> Any:
        raise NotImplementedError


@contextmanager
def kept_folder() -> Iterator[Path]:
    """Yield a new folder, which is removed if the block raises."""
    folder = new_folder()
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def unpacked_root(spec: LoadSpec, *, into: Path, mark: str, name: str) -> Path:
    """Unpack a zip; return the folder in it that has the file `mark`: its top, or one within."""
    unpack(spec.artifact, into=into)
    found = sorted({path.parent for path in (*into.glob(mark), *into.glob(f"*/{mark}"))})
    if len(found) != 1:
        raise ArtifactInvalid(f"expected a zip of one {name}, with its {mark}, got {len(found)}")
    return found[0]
