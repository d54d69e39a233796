"""The parts of a script that go along with a function or a class of it."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from clipper_client import ClipperError
from clipper_client.packaging.required_packages import captured, pinned_exactly
from clipper_client.packaging.sources import Extract, extract, package_of

SCRIPT = """
from __future__ import annotations
import math
import os.path as p
from json import dumps as dump
LIMIT = 3
TABLE = [n * 2 for n in range(4)]
OTHER = 9

def helper(row):
    return math.floor(row) + LIMIT

class Model:
    def pred_batch(self, inputs):
        return [helper(row) + TABLE[0] + len(dump(row)) for row in inputs]

print("never again")
"""


def of_script(text: str, name: str, tmp_path: Path) -> Extract:
    file = tmp_path / "script.py"
    file.write_text(text)
    module = ModuleType("__main__")
    module.__file__ = str(file)
    exec(compile(text.replace("print", "str"), str(file), "exec"), vars(module))
    return extract(name, main=module)


def test_it_is_what_the_class_refers_to_and_no_more(tmp_path: Path) -> None:
    found = of_script(SCRIPT, "Model", tmp_path)
    assert found.future == "from __future__ import annotations\n\n"
    for part in ("import math", "dumps as dump", "LIMIT = 3", "def helper", "class Model"):
        assert part in found.code
    for other in ("never again", "OTHER", "os.path", "TABLE ="):
        assert other not in found.code
    assert found.values == {"TABLE": [0, 2, 4, 6]}
    assert found.modules == {"math", "json"}


def test_a_notebooks_cells_count_without_their_magic() -> None:
    module = ModuleType("__main__")
    vars(module)["In"] = ["", "%matplotlib inline\nLIMIT = 2", "!ls", "def f(x):\n    return LIMIT"]
    found = extract("f", main=module)
    assert found.code == "LIMIT = 2\n\ndef f(x):\n    return LIMIT\n\n"


def test_what_was_typed_at_the_prompt_has_no_source() -> None:
    with pytest.raises(ClipperError, match="Put it into a file"):
        extract("f", main=ModuleType("__main__"))


def test_requirements_are_pinned_to_what_is_installed() -> None:
    lines = captured(["numpy", "scikit_learn", "not-installed-anywhere", "pandas>=1.0"]).split()
    assert [line.partition("==")[0] for line in lines] == ["numpy", "pandas>=1.0", "scikit_learn"]
    assert all("==" in line for line in lines if ">=" not in line)


def test_what_loads_a_model_that_was_made_without_it_is_needed_whichever_it_is() -> None:
    """As with an ONNX model, which takes no ONNX Runtime to be converted."""
    assert captured(["catboost"]) == "catboost\n"


def test_a_build_of_a_release_is_pinned_to_the_release() -> None:
    """The server's own build of it is taken; no later one from elsewhere."""
    assert pinned_exactly("torch", "2.9.1+cu126") == "torch==2.9.1"
    assert captured(["torch==2.13.0+cu130", "tqdm==4.70.1"]) == "torch==2.13.0\ntqdm==4.70.1\n"
    assert pinned_exactly("numpy", "2.4.6") == "numpy==2.4.6"


def test_a_build_for_cpus_stays_one() -> None:
    """On PyPI the same release is another build, with 3 GB of what GPUs need."""
    assert pinned_exactly("torch", "2.9.1+cpu") == "torch==2.9.1+cpu"
    assert captured(["torch==2.13.0+cpu", "tqdm==4.70.1"]) == "torch==2.13.0+cpu\ntqdm==4.70.1\n"


def test_a_package_without_an_init_is_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain_models" / "deep").mkdir(parents=True)
    (tmp_path / "plain_models" / "deep" / "shift.py").write_text("BY = 3")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "plain_models" / "..")
    assert package_of(import_module("plain_models.deep.shift")) == tmp_path / "plain_models"
