"""The admin library of the Clipper of 2017, as far as scripts use it, on today's client.

It asks the server of CLIPPER_URL with the key of CLIPPER_KEY, which has to be allowed to run code.
No containers are run, so whatever scripts say of Docker is taken and left.
"""

import json
import warnings
from urllib.parse import urlsplit

from clipper_client import Client, ClipperError, ClipperWarning

# Its scripts give no example of an input, which each deploy would warn of.
warnings.filterwarnings("ignore", category=ClipperWarning)

ClipperException = ClipperError
# Each type had several names, all with the same first letter.
TYPES = {"b": "bytes", "i": "integers", "f": "floats", "d": "doubles", "s": "strings"}


class UnconnectedException(ClipperException):
    def __init__(self):
        super().__init__("Expected start_clipper() or connect() first.", code="unconnected")


class DockerContainerManager:
    def __init__(self, *settings, **more): ...


class ClipperConnection:
    """Today's client under the names of 2017; `client` is for all that has no name here."""

    def __init__(self, container_manager=None):
        self._client = None

    @property
    def client(self):
        if self._client is None:
            raise UnconnectedException
        return self._client

    def start_clipper(self, *settings, **more):
        """Find the server: it has to be there, and `stop_all` leaves it there for others."""
        self._client = Client()
        self._client.status()

    connect = start_clipper

    def stop_all(self, graceful=True): ...

    def get_query_addr(self):
        return urlsplit(self.client.address.url).netloc

    def register_application(self, name, input_type, default_output, slo_micros):
        body = {"name": name, "input_type": TYPES[input_type[0]], "slo_ms": slo_micros / 1000}
        try:  # outputs were texts, and were read as JSON where they were JSON
            body["default_output"] = json.loads(default_output)
        except ValueError:
            body["default_output"] = default_output
        # Whoever reached the old frontend could ask it, without a key.
        self.client.request("POST", "applications/", {**body, "public": True})

    def unregister_application(self, name):
        self.client.request("DELETE", f"applications/{name}")

    def link_model_to_app(self, app_name, model_name):
        self.client.request("PUT", f"applications/{app_name}/routes", [{"model": model_name}])

    def unlink_model_from_app(self, app_name, model_name):
        self.client.request("PUT", f"applications/{app_name}/routes", [])

    def get_linked_models(self, app_name):
        routes = self.client.request("GET", f"applications/{app_name}/routes")
        return [route["model"] for route in routes]

    def get_all_apps(self, verbose=False):
        apps = self.client.status().applications
        return apps if verbose else [app["name"] for app in apps]

    def get_all_models(self, verbose=False):
        models = self.client.status().models
        return models if verbose else [f"{m['name']}:{v}" for m in models for v in m["versions"]]

    def get_current_model_version(self, name):
        return self.client.request("GET", f"models/{name}")["live_version"]

    def build_and_deploy_model(
        self, name, version, input_type, model_data_path, base_image, labels=None,
        container_registry=None, num_replicas=1, batch_size=-1, pkgs_to_install=None,
    ):  # fmt: skip
        """Deploy a file or folder that today's server knows how to run; no image is built."""
        self.client.deploy(
            name, model_data_path, version=str(version), input_type=TYPES[input_type[0]],
            replicas=num_replicas, requirements=pkgs_to_install,
            fields={"max_batch_size": batch_size} if batch_size > 0 else {},
        )  # fmt: skip

    def set_model_version(self, name, version, num_replicas=None):
        if str(version) != self.get_current_model_version(name):
            self.client.rollback(name, to=str(version), reason="set_model_version")
        if num_replicas is not None:
            self.set_num_replicas(name, num_replicas)

    def set_num_replicas(self, name, num_replicas, version=None):
        self.client.scale(name, num_replicas, version=version and str(version))
