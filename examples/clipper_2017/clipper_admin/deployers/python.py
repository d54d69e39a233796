"""Deploys a function of a list of inputs with all that it refers to, as it was done in 2017."""

from pathlib import Path
from tempfile import TemporaryDirectory

import cloudpickle

# What the server runs: each output is a text, and is read as JSON where it is JSON.
PREDICTOR = """
import json, pickle, pathlib

class Predictor:
    def __init__(self, path):
        self.closure = pickle.loads((pathlib.Path(path) / "closure.pickle").read_bytes())

    def pred_batch(self, inputs):
        return [value_of(str(output)) for output in self.closure(list(inputs))]

def value_of(text):
    try:
        return json.loads(text)
    except ValueError:
        return text
"""


def deploy_python_closure(
    clipper_conn, name, version, input_type, func, base_image="default", labels=None,
    registry=None, num_replicas=1, batch_size=-1, pkgs_to_install=None,
):  # fmt: skip
    with TemporaryDirectory() as folder:
        Path(folder, "predictor.py").write_text(PREDICTOR)
        Path(folder, "closure.pickle").write_bytes(cloudpickle.dumps(func))
        clipper_conn.build_and_deploy_model(
            name, version, input_type, folder, base_image, labels, registry, num_replicas,
            batch_size, ["cloudpickle", *(pkgs_to_install or [])],
        )  # fmt: skip


def create_endpoint(
    clipper_conn, name, input_type, func, default_output="None", version=1, slo_micros=3_000_000,
    **more,
):  # fmt: skip
    """Make an application and a model of one name, the one asking the other."""
    clipper_conn.register_application(name, input_type, default_output, slo_micros)
    deploy_python_closure(clipper_conn, name, version, input_type, func, **more)
    clipper_conn.link_model_to_app(name, name)
