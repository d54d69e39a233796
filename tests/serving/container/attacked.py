"""A process with secrets everywhere, in which a model is loaded in one of four ways."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import threading
from pathlib import Path

import psutil

from serving.cluster.control.trial import try_out
from serving.cluster.control.trial_process import WarmedParents
from serving.container.boxed import BoxedPredictor
from serving.container.loading import load_predictor
from serving.container.predictor import Predictor
from serving.container.spec import LoadSpec
from serving.testing import version_spec
from tests.processes import command_of

SECRET = os.environ["DJANGO_SECRET_KEY"]
# A check is executed, or forked from a process that has imported scikit-learn.
CHECKS = ("check", "forked")
ATTACKER = Path(__file__).with_name("attacker.py")


def main(how: str, folder: Path) -> object:
    """Load the attacker in one of the ways; return where it has found the secret."""
    secret = folder / "env.sh"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    os.set_inheritable(os.open(secret, os.O_RDONLY), True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "redis.sock"))
    listener.listen()
    threading.Thread(target=tell_everyone, args=(listener,), daemon=True).start()
    code = ATTACKER.read_text().replace("@LEFT@", str(folder))
    artifact = folder / "artifact"
    artifact.write_text(code.replace("@RAISES@", "yes" if how in CHECKS else "no"))
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
    if how in CHECKS:
        version = version_spec(model="attacker", runtime="python", digest=digest)
        parents = WarmedParents(forks={"python": "sklearn"}) if how == "forked" else None
        fault = try_out(version, artifact=artifact, parents=parents).fault
        assert parents is None or any(map(is_parent, psutil.Process().children())), "not forked"
        return fault
    spec = LoadSpec(runtime="python", artifact=artifact, sha256=digest, input_type="doubles")
    predictor: Predictor = BoxedPredictor(spec) if how == "box" else load_predictor(spec)
    predictor.warm_up()
    (answer,) = predictor.answer_batch([b"[1]"])
    predictor.close()
    return json.loads(answer.payload)


def is_parent(process: psutil.Process) -> bool:
    return "serving.container.warmed" in command_of(process)


def tell_everyone(listener: socket.socket) -> None:
    while True:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(SECRET.encode())


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
