"""A registry that grows: applications and models beside those that are asked."""

from __future__ import annotations

from benchmarks.growth.place import CODE, MODEL, VERSION, Place


def application_name(number: int) -> str:
    """The first is the one that every stack begins with."""
    return MODEL if number == 1 else f"{MODEL}-{number}"


def application_names(count: int) -> list[str]:
    return [application_name(number) for number in range(1, count + 1)]


def grow(place: Place, *, applications: int = 1, models: int = 1) -> None:
    """Register until there are so many, the demo not counted. Nothing is ever taken away.

    Each application routes to the one model that is live; each model has a version and no replica.
    """
    for number in range(place.registered["applications"] + 1, applications + 1):
        place.apply(application_name(number))
        place.registered["applications"] = number
    for number in range(place.registered["models"] + 1, models + 1):
        _register(place, model=f"{MODEL}-{number}")
        place.registered["models"] = number


def _register(place: Place, *, model: str) -> None:
    place.client.post(
        "/api/v1/models/", json={"name": model, "input_type": "doubles"}
    ).raise_for_status()
    place.operator.upload(
        model, version=VERSION, artifact=CODE, runtime="python", file="model.py"
    )  # fmt: skip
