"""How feedback judges and what contexts keep: set over REST and in the console."""

from typing import Any

import pytest

from registry.models import Application
from tests.registry.conftest import Api

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"combine": "magic"}, "combine"),
        ({"loss": "magic"}, "loss"),
        ({"loss": "expression"}, "loss_expression"),
        ({"loss_expression": "label - price"}, "loss_expression"),
        ({"loss_expression": "output" + "+1" * 300}, "loss_expression"),
        ({"loss_scale": None}, "loss_scale"),
        ({"missing_loss": 1.5}, "missing_loss"),
        ({"default_reward": "0.5"}, "default_reward"),
        ({"cost_price": 1e7}, "cost_price"),
        ({"context_ttl_s": 59}, "context_ttl_s"),
        ({"max_contexts": 1.5}, "max_contexts"),
    ],
)
def test_a_wrong_value_is_refused_at_its_field(
    manager: Api, digits: Application, change: dict[str, Any], field: str
) -> None:
    answer = manager("patch", "applications/digits", change)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert list(answer.json()["details"]["fields"]) == [field]
