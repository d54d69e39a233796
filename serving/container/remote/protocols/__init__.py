"""The protocols that remote models speak: one file, one row in DIALECTS."""

from collections.abc import Callable, Mapping

from serving.container.remote.configuration import RemoteConfiguration
from serving.container.remote.protocols.dialect import Dialect
from serving.container.remote.protocols.mlflow_scoring import MlflowScoring
from serving.container.remote.protocols.open_inference import OpenInference
from serving.container.remote.protocols.openai import openai_dialect
from serving.container.remote.protocols.template import JsonTemplate

DIALECTS: Mapping[str, Callable[[RemoteConfiguration, str], Dialect]] = {
    "open-inference": OpenInference,
    "mlflow": MlflowScoring,
    "openai": openai_dialect,
    "json": JsonTemplate,
}


def dialect_of(configuration: RemoteConfiguration, *, input_type: str) -> Dialect:
    """Raises ArtifactInvalid where the protocol doesn't take such inputs, or such a URL."""
    return DIALECTS[configuration.protocol](configuration, input_type)
