"""A process with secrets everywhere, in which a model is loaded in one of several ways."""

import hashlib
import json
import os
import socket
import sys
import threading
from pathlib import Path

from serving.cluster.control.checks.version_trial import try_out
from serving.container.child.child_process import ChildPredictor
from serving.container.child.model_process import ForkServer
from serving.container.loading import load_predictor
from serving.container.predictor import Predictor
from serving.container.spec import LoadSpec
from serving.testing import version_spec

SECRET = os.environ["DJANGO_SECRET_KEY"]
# Each process is forked from a server that has imported scikit-learn, or executed.
CHECKS = ("check", "executed check")
SERVER = ForkServer()
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
        return try_out(version, artifact=artifact, server=server_of(how)).fault
    spec = LoadSpec(runtime="python", artifact=artifact, sha256=digest, input_type="doubles")
    predictor: Predictor
    if how == "here":
        predictor = load_predictor(spec)
    else:
        predictor = ChildPredictor(spec, server=server_of(how))
    predictor.warm_up()
    (answer,) = predictor.answer_batch([b"[1]"])
    predictor.close()
    return json.loads(answer.payload)


def server_of(how: str) -> ForkServer | None:
    return None if how.startswith("executed") else SERVER


def tell_everyone(listener: socket.socket) -> None:
    while True:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(SECRET.encode())


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
