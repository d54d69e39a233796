"""Plans of one's own: checked when they are made, copied when they are used."""

from typing import Any

import pytest
from django.utils import timezone

from core.errors import BadRequest
from registry import services
from registry.models import Model, OwnPlan, Rollout
from tests.serving.cluster.control.rounds import BY, make_version

pytestmark = pytest.mark.django_db

SLOW: dict[str, Any] = {"steps": [{"percent": 2.0}, {"percent": 20.0, "seconds": 5}], "margin": 1}


def test_a_rollout_keeps_a_copy_of_its_plan() -> None:
    services.save_plan(name="slow", definition=SLOW, by=BY)
    live = make_version("ocr", "1", validated_at=timezone.now())
    Model.objects.filter(pk=live.model_id).update(live_version=live)
    version = make_version("ocr", "2", validated_at=timezone.now())
    services.deploy(version=version, by=BY, rollout="slow")
    services.save_plan(name="slow", definition={**SLOW, "margin": 9}, by=BY)

    rollout = Rollout.objects.get()
    assert (rollout.plan_name, rollout.plan.margin) == ("slow", 1.0)
    assert [step.percent for step in rollout.plan.steps] == [2.0, 20.0]
    assert "1" in services.summaries()["quick"]
    services.delete_plan(OwnPlan.objects.get(), by=BY)
    assert Rollout.objects.get().plan.margin == 1.0


@pytest.mark.parametrize(
    ("name", "definition"),
    [
        ("usual", SLOW),
        ("at-once", SLOW),
        ("Slow", SLOW),
        ("slow", {}),
        ("slow", {"steps": []}),
        ("slow", {"steps": [{"percent": 100}]}),
        ("slow", {"steps": [{"percent": 5}, {"percent": 5}]}),
        ("slow", {**SLOW, "margins": 1}),
        ("slow", {**SLOW, "gates": {"errors": {"action": "explode"}}}),
    ],
)
def test_a_plan_that_is_none_is_refused(name: str, definition: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        services.save_plan(name=name, definition=definition, by=BY)
    assert not OwnPlan.objects.exists()


def test_a_name_that_no_plan_has_is_refused_with_those_that_are() -> None:
    services.save_plan(name="slow", definition=SLOW, by=BY)
    with pytest.raises(BadRequest, match=r"usual, quick, slow"):
        services.plan_named("slwo")
