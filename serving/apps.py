"""Serving: answering."""

from __future__ import annotations

from django.apps import AppConfig


class ServingConfig(AppConfig):
    name = "serving"
    verbose_name = "Serving"

    def ready(self) -> None:
        from registry.extensions import register_inputs, register_remote, register_runtimes
        from serving.cluster.remote import artifact_of
        from serving.container.parsing import checked_inputs
        from serving.container.runtimes import (
            data_only,
            methods_of,
            runtime_names,
            self_contained,
        )

        register_inputs(checked_inputs)
        register_runtimes(
            runtime_names,
            data_only=data_only(),
            methods_of=methods_of,
            self_contained=self_contained(),
        )
        register_remote(artifact_of)
