"""The doubles in `serving/testing` are for everybody's tests and import little."""

from tests.interpreter import run_python


def test_they_need_neither_pytest_nor_django() -> None:
    code = "import sys, serving.testing; print(*sys.modules)"
    loaded = {module.partition(".")[0] for module in run_python("-c", code).stdout.split()}
    assert "serving" in loaded
    assert loaded & {"pytest", "_pytest", "hypothesis", "django", "tests"} == set()
