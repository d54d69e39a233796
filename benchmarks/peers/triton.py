"""NVIDIA Triton: the C++ server out of the PyTriton wheel, with its Python backend."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

from benchmarks.peers.bodies import OPEN_INFERENCE
from benchmarks.peers.peer import MAX_BATCH, Launch, Peer, Place, Setting
from scripts.stack.layout import HOST, ROOT

MODEL = ROOT / "benchmarks/peers/servers/triton_model.py"
STUB = "triton_python_backend_stub"

CONFIG = """\
name: "linear"
backend: "python"
max_batch_size: {max_batch}
input [ {{ name: "input" data_type: TYPE_FP64 dims: [ 784 ] }} ]
output [ {{ name: "output" data_type: TYPE_INT64 dims: [ 1 ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
dynamic_batching {{ max_queue_delay_microseconds: {wait_us} }}
"""


def config(setting: Setting) -> str:
    """Return the model's config.pbtxt."""
    return CONFIG.format(max_batch=MAX_BATCH, wait_us=round(setting.wait_ms * 1e3))


def launch(place: Place, setting: Setting) -> Launch:
    server = place.packages / "pytriton/tritonserver"
    _bring_stub(server)
    return Launch(
        command=[
            str(server / "bin/tritonserver"),
            f"--model-repository={_repository(place.folder, setting)}",
            f"--backend-directory={server / 'backends'}",
            f"--http-address={HOST}", f"--http-port={place.port}",
            "--allow-grpc=false", "--allow-metrics=false", "--log-info=false",
        ],
        variables={
            "LD_LIBRARY_PATH": os.pathsep.join(
                (sysconfig.get_config_var("LIBDIR"), str(place.packages / "nvidia_pytriton.libs"))
            ),
            # Its stub embeds Python, and so doesn't find the environment by itself.
            "PYTHONPATH": os.pathsep.join((str(place.packages), str(ROOT))),
        },
    )  # fmt: skip


def _bring_stub(server: Path) -> None:
    """Put the stub of this Python, of which the wheel has several, where the backend looks."""
    wanted = server / "backends/python" / STUB
    if not wanted.exists():
        shutil.copy(server / "python_backend_stubs" / sysconfig.get_python_version() / STUB, wanted)


def _repository(folder: Path, setting: Setting) -> Path:
    repository = folder / "models"
    version = repository / "linear/1"
    version.mkdir(parents=True)
    shutil.copy(MODEL, version / "model.py")
    (repository / "linear/config.pbtxt").write_text(config(setting))
    return repository


TRITON = Peer(
    name="triton",
    title="Triton",
    environment="triton",
    protocol=OPEN_INFERENCE,
    path="/v2/models/linear/infer",
    at_least=1.0,
    launch=launch,
)
