"""Parts of the wheel that pyproject.toml can't name: requirements, their list, compiled code."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface
from packaging.tags import sys_tags

APP, SBOM = "clipper_server/app", "build/clipper-server.cdx.json"


class Requirements(MetadataHookInterface):
    """Those of requirements.in, and the client of this version, whose command is the server's.

    Artifacts in S3 need those of requirements-s3.in: `clipper-server[s3]`.
    """

    def update(self, metadata: dict[str, Any]) -> None:
        client = f"clipper-client=={metadata['version']}"
        metadata["dependencies"] = [client, *self._asked_in("requirements.in")]
        metadata["optional-dependencies"] = {"s3": self._asked_in("requirements-s3.in")}

    def _asked_in(self, file: str) -> list[str]:
        lines = (Path(self.root) / file).read_text().splitlines()
        return list(filter(None, (line.partition("#")[0].strip() for line in lines)))


class BuiltFiles(BuildHookInterface[Any]):
    """Adds what `make compile` made of these sources, for the Python that builds the wheel.

    And the list of all that it was tested with, by hash: a CycloneDX SBOM, where PEP 770 has it.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        Path(self.root, SBOM).parent.mkdir(exist_ok=True)
        asked = ["requirements", "requirements.txt", "--output-reproducible", "--output-file", SBOM]
        subprocess.run([sys.executable, "-m", "cyclonedx_py", *asked], cwd=self.root, check=True)
        build_data["sbom_files"].append(SBOM)
        sys.path.insert(0, self.root)
        from core import compiled

        if (folder := compiled.build()) is None:
            return
        inside = folder.relative_to(compiled.ROOT)
        build_data["force_include"][str(folder)] = f"{APP}/{inside}"
        # It runs with this machine's C library, or a newer one, and links nothing else.
        tags = (str(tag) for tag in sys_tags() if not tag.platform.startswith("linux_"))
        build_data["tag"] = next(tags)
        build_data["pure_python"] = False
