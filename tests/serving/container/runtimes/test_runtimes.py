"""An artifact is loaded only if its bytes, its runtime and its input type are what was said."""

import subprocess
import sys
from pathlib import Path

import pytest

from serving.container.failures.container_errors import (
    ArtifactCorrupt,
    ArtifactUnreadable,
    UnknownInputType,
    UnknownRuntime,
)
from serving.container.loading import load_predictor
from serving.container.runtimes import RUNTIMES, find_runtime, runtime_names
from serving.container.spec import LoadSpec
from tests.serving.container.artifacts import load_python, save


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_runtime_in_the_table_can_be_found_or_says_what_it_needs(name: str) -> None:
    needs = RUNTIMES[name].needs
    try:
        found = find_runtime(name)
    except UnknownRuntime as error:
        said = str(error)
    else:
        assert callable(found)
        return
    assert needs
    needed = f"it needs {needs} among the requirements of the version: No module named '"
    assert said.startswith(f"the runtime {name!r} is not installed, {needed}")


def test_only_what_every_check_needs_is_imported_before_a_version_is_known() -> None:
    later = ["asyncio", "ssl", "email", "importlib.metadata"]
    modules = [*RUNTIMES, "sklearn", "onnxruntime", "numpy", *later]
    program = "import sys; import serving.container.runtimes, serving.container.__main__; "
    program += f"print([name for name in {modules} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout == b"['numpy']\n"


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_what_a_framework_can_do_without_is_not_imported(name: str) -> None:
    """scikit-learn and pandas would take a second and 90 MB of every replica of either."""
    program = f"""
import sys
from serving.container.runtimes import find_runtime
find_runtime({name!r})
print([other for other in ("pandas", "scipy.stats", "sklearn") if other in sys.modules])
import sklearn, pandas
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout == b"[]\n"


def test_an_unknown_runtime_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownRuntime, match=r"out of sklearn, .*python.*, got 'fortran'"):
        find_runtime("fortran")


def test_an_installed_package_adds_a_runtime(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    metadata = tmp_path / "fortran-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: fortran\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[clipper.runtimes]\nfortran = fortran_rt:load\n")
    (tmp_path / "fortran_rt.py").write_text("def load(artifact): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "fortran" in runtime_names()
    assert find_runtime("fortran").__module__ == "fortran_rt"


def test_an_artifact_with_another_digest_is_not_loaded(artifact_file: Path) -> None:
    saved = save("raise SystemExit('ran')", at=artifact_file) | {"sha256": "0" * 64}
    with pytest.raises(ArtifactCorrupt, match="expected an artifact with sha256 000"):
        load_predictor(LoadSpec(runtime="python", input_type="json", **saved))


def test_a_missing_artifact_is_explained(artifact_file: Path) -> None:
    spec = LoadSpec(runtime="python", artifact=artifact_file, sha256="", input_type="json")
    with pytest.raises(ArtifactUnreadable, match="No such file"):
        load_predictor(spec)


def test_an_unknown_input_type_is_refused_before_the_artifact_runs(artifact_file: Path) -> None:
    with pytest.raises(UnknownInputType):
        load_python("raise SystemExit('ran')", at=artifact_file, input_type="pixels")
