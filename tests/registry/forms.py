"""Form data that a browser sends of a page of the console whose fields nobody touched."""

import json
from typing import Any

from registry.models import Application, ModelVersion
from registry.services.applications import CHANGEABLE
from registry.services.versions import CONFIGURABLE


def application_fields(**fields: Any) -> dict[str, Any]:
    """Those of an application, as a new one has them; of its objective, as most have it."""
    return {
        **_untouched(Application(), CHANGEABLE),
        "slo-TOTAL_FORMS": "1",
        "slo-INITIAL_FORMS": "0",
        "slo-0-latency_ms": "50",
        "slo-0-target": "0.99",
        "slo-0-window": "28d",
        "routes-TOTAL_FORMS": "0",
        "routes-INITIAL_FORMS": "0",
        **fields,
    }


def version_fields(**fields: Any) -> dict[str, Any]:
    """Those of how a version runs; the page sends along how many replicas it showed."""
    return {**_untouched(ModelVersion(), CONFIGURABLE), "initial-replicas": 1, **fields}


def _untouched(row: Any, names: tuple[str, ...]) -> dict[str, str]:
    values = {name: getattr(row, name) for name in names}
    return {name: _text(value) for name, value in values.items() if _is_sent(value)}


def _is_sent(value: Any) -> bool:
    # Of an empty field and of a box that isn't ticked browsers send nothing that counts.
    return value is not None and value is not False


def _text(value: Any) -> str:
    if value is True:
        return "on"
    return json.dumps(value) if isinstance(value, dict) else str(value)
