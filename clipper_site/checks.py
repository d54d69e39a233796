"""System checks of the settings: each wrong one has an id and a hint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register()
def environment_is_readable(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    return [
        Error(
            f"{wrong.name} is {wrong.value!r}; expected {wrong.expected}.",
            hint=f"Set {wrong.name} to {wrong.expected}, or unset it for the default.",
            id="clipper.E001",
        )
        for wrong in settings.ENV.wrong
    ]


@register()
def secret_key_is_given(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    if settings.SECRET_KEY_GIVEN:
        return []
    return [
        Error(
            "DJANGO_SECRET_KEY is not set.",
            hint="Set it to at least 50 random characters; `make run` keeps one in its VAR folder.",
            id="clipper.E002",
        )
    ]
