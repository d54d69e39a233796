"""A model that lives behind HTTP already: it is asked there, and nothing of it runs here."""

from serving.container.failures.container_errors import LoadFailed, SignatureRefused
from serving.container.inputs.signature import InvalidSignature, read_signature
from serving.container.remote.configuration import RemoteConfiguration, check_secret
from serving.container.remote.failures import HostRefused
from serving.container.remote.hosts import AllowedHosts
from serving.container.remote.predictor import RemotePredictor, RemoteTerms
from serving.container.spec import LoadSpec


def load(spec: LoadSpec) -> RemotePredictor:
    """Needs no server: it may be away while a replica starts."""
    configuration = RemoteConfiguration.read(spec.content)
    hosts = AllowedHosts.parse(spec.remote_hosts)
    place = configuration.place
    try:
        hosts.check_host(place.host, port=place.port)
    except HostRefused as error:
        raise LoadFailed(str(error)) from error
    check_secret(spec.secret)
    try:
        return _asked(configuration, hosts=hosts, spec=spec)
    except InvalidSignature as error:
        raise SignatureRefused(str(error)) from error


def _asked(
    configuration: RemoteConfiguration, *, hosts: AllowedHosts, spec: LoadSpec
) -> RemotePredictor:
    return RemotePredictor(
        configuration,
        signature=read_signature(spec.signature, input_type=spec.input_type),
        terms=RemoteTerms(hosts=hosts, secret=spec.secret, batch_s=spec.batch_s),
        search_s=spec.search_s,
        must_answer=spec.trial,
        example=spec.example.encode(),
    )
