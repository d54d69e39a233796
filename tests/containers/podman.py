"""Podman, Buildah and Compose, with images, networks and state in a folder of the tests' own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipper_site import ROOT

HERE = Path(__file__).parent
BASE, DATABASES, CLIPPER = (f"localhost/{name}" for name in ("trixie", "databases", "clipper"))
NEXT = f"{CLIPPER}:next"
# Where runc may set no limits above those of whoever calls it.
LIMITS = ("nofile=20000:20000", "nproc=20000:20000")
# The compiler alone takes over a minute of a core.
COMMAND_S = 1200.0


class Podman:
    """Nothing of /etc/containers or /var/lib/containers is read or written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        storage, containers = folder / "storage.conf", folder / "containers.conf"
        storage.write_text(
            f'[storage]\ndriver = "overlay"\n'
            f'graphroot = "{folder}/root"\nrunroot = "{folder}/run"\n'
        )
        containers.write_text(
            f"[containers]\ndefault_ulimits = {json.dumps(LIMITS)}\n"
            f'[network]\nnetwork_config_dir = "{folder}/networks"\n'
            f'[engine]\nruntime = "runc"\nevents_logger = "file"\ncgroup_manager = "cgroupfs"\n'
            f'tmp_dir = "{folder}/tmp"\n'
        )
        self._socket = f"unix://{folder}/podman.sock"
        self._env = {
            **{name: text for name, text in os.environ.items() if not name.startswith("CLIPPER_")},
            "CONTAINERS_STORAGE_CONF": str(storage),
            "CONTAINERS_CONF": str(containers),
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
            "DOCKER_HOST": self._socket,
        }
        self._service: subprocess.Popen[bytes] | None = None
        self._probing = threading.Event()
        self._prober = threading.Thread(target=self._probe, daemon=True)

    def run(
        self, *command: str | Path, check: bool = True, env: Mapping[str, str] | None = None
    ) -> str:
        """Return what a command prints; fails with all that it said if it fails."""
        done = subprocess.run(
            command, env={**self._env, **(env or {})}, capture_output=True, text=True,
            cwd=ROOT, timeout=COMMAND_S, check=False,
        )  # fmt: skip
        said = done.stdout[-4000:] + done.stderr[-4000:]
        assert not check or done.returncode == 0, f"{command}\n{said}"
        return done.stdout

    def __call__(self, *arguments: str, check: bool = True) -> str:
        return self.run("podman", *arguments, check=check)

    # --- images ---------------------------------------------------------------------------

    def make_base(self) -> None:
        """A Debian from its packages, since no registry of images can be reached."""
        packed = self.folder / "base.tar"
        wanted = "--include=python3,python3-venv,ca-certificates"
        self.run(
            "mmdebstrap",
            "--variant=minbase",
            wanted,
            "trixie",
            packed,
            env={"SOURCE_DATE_EPOCH": "0"},
        )
        self("import", str(packed), BASE)
        packed.unlink()

    def build(self, tag: str, file: Path, context: Path, *options: str) -> str:
        """Return the image's digest."""
        how = ["--isolation=chroot", "--network=host", *(f"--ulimit={limit}" for limit in LIMITS)]
        how += ["--timestamp=0", "--jobs=2", *options]
        self.run("buildah", "build", *how, f"--file={file}", f"--tag={tag}", context)
        return self("image", "inspect", "--format", "{{.Digest}}", tag).strip()

    def build_clipper(self, tag: str = CLIPPER, context: Path = ROOT) -> str:
        file = context / "deploy" / "Containerfile"
        # pip believes whom this machine believes.
        certificates = "--volume=/etc/ssl/certs:/etc/ssl/certs:ro"
        return self.build(tag, file, context, certificates, f"--build-arg=BASE={BASE}")

    def build_next(self) -> None:
        self.build(NEXT, HERE / "next.Containerfile", HERE)

    # --- containers -----------------------------------------------------------------------

    def start(self) -> None:
        """Serve what Compose asks, and have health checks run: systemd does that elsewhere."""
        command = ["podman", "system", "service", "--time=0", self._socket]
        with (self.folder / "service").open("wb") as log:
            self._service = subprocess.Popen(command, env=self._env, stdout=log, stderr=log)
        self._prober.start()

    def _probe(self) -> None:
        while not self._probing.wait(1):
            for name in self("ps", "--quiet", check=False).split():
                self("healthcheck", "run", name, check=False)

    def compose(self, *arguments: str | Path, env: Mapping[str, str]) -> str:
        files = ["--file", str(ROOT / "deploy/compose.yaml"), "--file", str(HERE / "second.yaml")]
        return self.run("docker-compose", "--project-name", "clipper", *files, *arguments, env=env)

    def inspect(self, name: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self("inspect", name))
        return found[0]

    def address(self, name: str) -> str:
        """A container's on its network; "" if it has none any more."""
        (found, *_) = json.loads(self("inspect", name, check=False) or "[]") or [{}]
        networks = found.get("NetworkSettings", {}).get("Networks") or {}
        return next((network["IPAddress"] for network in networks.values()), "")

    def end(self) -> None:
        """Leave nothing behind, however the tests ended."""
        self._probing.set()
        if self._service is not None:
            self._prober.join(timeout=60)
            self._service.terminate()
            self._service.wait(timeout=30)
        self("pod", "rm", "--all", "--force", "--time", "1", check=False)
        self("rm", "--all", "--force", "--time", "1", check=False)
        self("network", "prune", "--force", check=False)
        for mount in ("root/overlay", "run"):
            subprocess.run(
                ["umount", "-l", self.folder / mount], stderr=subprocess.DEVNULL, check=False
            )
        shutil.rmtree(self.folder, ignore_errors=True)
