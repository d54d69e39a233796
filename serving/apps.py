"""Serving: answering."""

from collections.abc import Collection, Mapping
from typing import Any

from django.apps import AppConfig


class ServingConfig(AppConfig):
    name = "serving"
    verbose_name = "Serving"

    def ready(self) -> None:
        from registry.versions.extensions import extensions
        from serving.container.runtimes import RUNTIMES, row_of, runtime_names

        extensions.input_check = _checked_inputs
        extensions.runtime_names = runtime_names
        extensions.data_runtimes = [name for name, row in RUNTIMES.items() if row.data_only]
        extensions.self_contained = [name for name, row in RUNTIMES.items() if row.self_contained]
        extensions.methods_of = lambda name: row_of(name).methods
        extensions.remote_artifact = _artifact_of
        extensions.pythons = _pythons


# What these need, NumPy among it, is loaded by who asks them: most processes never do.


def _checked_inputs(input_type: str, /, *, signature: str, example: str) -> str:
    from serving.container.inputs.parsing import checked_inputs

    return checked_inputs(input_type, signature=signature, example=example)


def _artifact_of(configuration: Mapping[str, Any], input_type: str, secret: str) -> bytes:
    from serving.cluster.remote_versions import artifact_of

    return artifact_of(configuration, input_type, secret)


def _pythons() -> Collection[str]:
    from serving.environments.interpreters import versions_here

    return versions_here()
