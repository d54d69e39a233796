"""Each of several processes imports the files that it runs, and reports every test in them."""

from pathlib import Path

from tests.interpreter import run_python

# Which process has imported it stands in the folder afterwards.
IMPORTED = """
import os
from pathlib import Path
import pytest
with Path(__file__).with_suffix(".imported").open("a") as file:
    print(os.getpid(), file=file)
"""
FILES = {
    "one/conftest.py": """
import pytest
@pytest.fixture(scope="package")
def shared():
    yield
    raise RuntimeError("the end of what is shared")
""",
    "test_each.py": f"""{IMPORTED}
@pytest.mark.parametrize("number", range(3))
def test_numbers(number):
    assert number != 1
""",
    "one/__init__.py": "",
    "one/test_first.py": f"""{IMPORTED}
def test_shared(shared):
    pass
""",
    "one/test_left_out.py": f"""{IMPORTED}
@pytest.mark.long
def test_long():
    pass
""",
    "test_wrong.py": f"""{IMPORTED}
import nothing_by_this_name
""",
}


def test_each_file_is_imported_once_and_all_of_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  long: left out")
    ours = ["-p", "tests.distribution", "-p", "tests.long", "-p", "no:cacheprovider", "-n2"]
    config = str(tmp_path / "pytest.ini")
    ran = run_python("-m", "pytest", "-c", config, *ours, str(tmp_path), timeout_s=120.0)

    said = ran.stdout
    assert ran.returncode == 1, said + ran.stderr
    assert "1 failed, 3 passed, 2 errors in" in said, said
    assert "test_each.py::test_numbers[1]" in said
    assert "No module named 'nothing_by_this_name'" in said
    assert "RuntimeError: the end of what is shared" in said
    by = {file.stem: file.read_text().split() for file in tmp_path.rglob("*.imported")}
    assert set(by) == {"test_each", "test_first", "test_left_out", "test_wrong"}
    assert all(len(processes) == 1 for processes in by.values())
    assert len({process for (process,) in by.values()}) == 2
