"""A version that was trained with PyTorch's build for CPUs isn't given the one for GPUs."""

from pathlib import Path

import pytest

from serving.container.failures.container_errors import EnvironmentFailed
from serving.environments.rules import Rules
from serving.environments.store import Environments
from tests.serving.environments.wheels import make_wheel, needs, offline

CPU = "torch==2.13.0+cpu"


def test_it_is_taken_where_both_are(tmp_path: Path) -> None:
    for version in ("2.13.0", "2.13.0+cpu", "2.13.0+cu130"):
        make_wheel(tmp_path / "wheels", "torch", version)
    environments = Environments(tmp_path / "environments", rules=offline(tmp_path))
    environments.prepare(needs(f"torch\n{CPU}")).release()
    (kept,) = environments.kept()
    assert CPU in kept.made_of.packages


def test_where_there_is_none_it_says_where_they_are(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "torch", "2.13.0")
    environments = Environments(tmp_path / "environments", rules=offline(tmp_path))
    with pytest.raises(EnvironmentFailed, match=r"download\.pytorch\.org/whl/cpu, into the oper"):
        environments.prepare(needs(CPU))


@pytest.mark.parametrize(
    "rules",
    [
        Rules(index_url="https://pypi.example.com/simple"),
        Rules(wheelhouse="/srv/wheels"),
        Rules(no_index=True),
    ],
)
def test_only_what_the_operator_names_is_asked_where_they_do(rules: Rules) -> None:
    assert "UV_TORCH_BACKEND" not in dict(rules.variables_for([CPU]))
    assert "UV_TORCH_BACKEND" not in dict(Rules().variables_for(["torch==2.13.0", "a==1+cpux"]))
    assert dict(Rules().variables_for([CPU]))["UV_TORCH_BACKEND"] == "cpu"
