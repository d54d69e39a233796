"""The kept inputs that the check of a version has it answer, to compare it with the live one."""

from dataclasses import dataclass
from typing import Any

import msgspec
import redis

from registry.following.reading import version_spec
from registry.models import Application, Model, ModelVersion
from registry.services.versions import REMOTE
from selection.store.input_samples import ROWS, Row, kept_inputs
from serving.container.check_report import CheckReport


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptInputs:
    """Inputs, and what the live version of this name answered to each."""

    arm: str
    rows: list[Row]

    def describe(self, report: CheckReport) -> dict[str, Any]:
        """Return the report as it is kept with the check, with the version that was compared."""
        described: dict[str, Any] = msgspec.to_builtins(report)
        if report.kept is not None:
            described["kept"] = {"with": self.arm} | described["kept"]
        return described


def find_kept_inputs(version: ModelVersion, *, client: redis.Redis) -> KeptInputs:
    """Return inputs of the live version that applications keep, as many of each, ROWS together."""
    live = _live_version(version)
    if live is None or version.runtime == REMOTE:
        return KeptInputs(arm="", rows=[])
    keeping = Application.objects.filter(keep_inputs=True, routes__model=live.model_id)
    numbers = list(keeping.distinct().order_by("pk").values_list("pk", flat=True))
    most = max(1, ROWS // max(1, len(numbers)))
    arm = version_spec(live).arm
    rows = [
        row
        for number in numbers
        for row in kept_inputs(client, application_id=number, arm=arm, most=most)
    ]
    return KeptInputs(arm=arm, rows=rows[:ROWS])


def _live_version(version: ModelVersion) -> ModelVersion | None:
    models = Model.objects.select_related("live_version__model")
    model = models.filter(pk=version.model_id).first()
    return None if model is None else model.live_version
