"""The permission to run code that a scikit-learn artifact takes, found without loading it."""

import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from serving.container.adapters.trusted_types import TRUSTED
from serving.container.failures.container_errors import ALLOW_PICKLE, PickleRefused, UntrustedTypes

# How pickles (protocol 2 and later) and joblib's compressed ones begin.
UNCOMPRESSED = b"\x80"
PICKLE_MAGICS = (
    UNCOMPRESSED,
    b"\x1f\x8b",  # gzip
    b"\x78",  # zlib
    b"BZh",
    b"\xfd7zXZ",
    b"\x5d\x00\x00",  # lzma
    b"\x04\x22\x4d\x18",  # lz4
)
# Skops trusts some types of these, and none of any other package.
JUDGED_BY_SKOPS = sys.stdlib_module_names | {"numpy", "scipy", "sklearn", "skops"}


def check_allowed(artifact: Path) -> None:
    """Raise PickleRefused for a pickle, UntrustedTypes for foreign types in a skops file."""
    with artifact.open("rb") as file:
        head = file.read(max(map(len, PICKLE_MAGICS)))
    if head.startswith(PICKLE_MAGICS):
        raise pickle_refused()
    if head.startswith(b"PK"):
        try:
            names = sorted(set(_foreign_types(artifact)) - TRUSTED)
        except (OSError, zipfile.BadZipFile, KeyError, ValueError, RecursionError):
            return
        if names:
            raise types_refused(names)


def pickle_refused() -> PickleRefused:
    return PickleRefused(
        "this artifact is a joblib or pickle file, and loading it runs whatever code it holds: "
        f"save the model with skops.io.dump(model, 'model.skops'), or {ALLOW_PICKLE}"
    )


def types_refused(names: list[str]) -> UntrustedTypes:
    return UntrustedTypes(
        f"this skops file needs types that aren't trusted: {', '.join(names)}; "
        f"use a model without them, or {ALLOW_PICKLE}"
    )


def _foreign_types(artifact: Path) -> Iterator[str]:
    with zipfile.ZipFile(artifact) as packed:
        schema = packed.getinfo("schema.json")
        if schema.file_size > 8 << 20:
            return  # it is left to skops: that of 500 trees takes 0.15 s to read
        nodes: list[Any] = [json.loads(packed.read(schema))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            module, name = node.get("__module__"), node.get("__class__")
            package = module.partition(".")[0] if isinstance(module, str) else ""
            if package and package not in JUDGED_BY_SKOPS:
                yield f"{module}.{name}"
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
