"""A model that lives behind HTTP already: it is asked there, and nothing of it runs here."""

from serving.container.remote.configuration import RemoteConfiguration, check_secret
from serving.container.remote.remote_predictor import RemotePredictor
from serving.container.spec import LoadSpec


def load(spec: LoadSpec) -> RemotePredictor:
    """Needs no server: it may be away while a replica starts."""
    check_secret(spec.secret)
    return RemotePredictor(RemoteConfiguration.read(spec.content), spec=spec)
