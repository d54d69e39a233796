"""Kinds of artifacts by their first bytes, the files in them and their names."""

from collections.abc import Mapping

ZIP = b"PK"
# As serving/container/adapters/skops_permission.py has them; joblib writes them.
PICKLES = (b"\x80", b"\x1f\x8b", b"\x78", b"BZh", b"\xfd7zXZ", b"\x5d\0\0", b"\x04\x22\x4d\x18")
# By runtime, how its files begin; those of other runtimes may begin with anything.
BEGINNINGS: Mapping[str, tuple[bytes, ...]] = {
    "catboost": (b"CBM1",),
    "onnx": (b"\x08", ZIP),
    "xgboost": (b"{",),
    "lightgbm": (b"tree", ZIP),
    "sklearn": (ZIP, *PICKLES),
    **dict.fromkeys(("torch", "tensorflow", "transformers", "mlflow"), (ZIP,)),
}
# By runtime, the files of which a ZIP has one; a ZIP is of the first runtime that fits.
MEMBERS: Mapping[str, tuple[bytes, ...]] = {
    "mlflow": (b"MLmodel",),
    "tensorflow": (b"saved_model.pb", b"model.weights.h5"),
    "torch": (b"models/model.json", b"serialized_exported_program.json", b"constants.pkl"),
    "onnx": (b".onnx",),
    "sklearn": (b"schema.json",),
    "transformers": (b"config.json",),
}
ENDINGS: Mapping[str, str] = {".py": "python", ".whl": "python"}
# So many bytes of its beginning, and of its end, where a ZIP lists its files.
HEAD, TAIL = 8, 1 << 20


def fits(runtime: str, *, head: bytes, tail: bytes) -> bool:
    """Say whether a file with these first and last bytes may be one of the runtime."""
    beginnings = BEGINNINGS.get(runtime)
    if beginnings is not None and not head.startswith(beginnings):
        return False
    members = MEMBERS.get(runtime)
    return members is None or not head.startswith(ZIP) or any(each in tail for each in members)


def runtime_of(name: str, *, head: bytes, tail: bytes) -> str:
    """Return the runtime that loads a file, "" if neither its bytes nor its name say it."""
    for ending, runtime in ENDINGS.items():
        if name.lower().endswith(ending):
            return runtime
    known = MEMBERS if head.startswith(ZIP) else BEGINNINGS
    return next((runtime for runtime in known if fits(runtime, head=head, tail=tail)), "")
