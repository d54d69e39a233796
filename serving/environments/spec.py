"""Requirements of an environment, with the digests of these and of their packages."""

import hashlib
import json
import platform
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass

from core.specs import VersionSpec
from registry.versions.package_requirements import met_here, parse
from serving.container.runtimes import row_of

# What a container imports itself. What a version pins wins, as far as these can go with it.
CONTAINER_NEEDS = ("msgspec<1,>=0.18.6", "numpy<3,>=1.26")
# Installed where it can be: without it numbers are read a little slower.
CONTAINER_WISHES = ("pysimdjson",)
# Another number where environments of before can't be used any more.
FORMAT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSpec:
    """Requirements in their normal form, and the version of Python that they are for."""

    requirements: tuple[str, ...]
    python: str

    @property
    def digest(self) -> str:
        """Equal on hosts of one platform for the same requirements and Python."""
        return self.digest_of((*self.requirements, *CONTAINER_NEEDS))

    def digest_of(self, packages: Sequence[str]) -> str:
        """Equal for all that resolve to these packages, whatever requirements they have."""
        platform_tag = f"{sysconfig.get_platform()}-{''.join(platform.libc_ver())}"
        said = (FORMAT, packages, self.python, platform_tag)
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def environment_of(version: VersionSpec) -> EnvironmentSpec | None:
    """The environment to build for a version; None where it runs in the stack's."""
    if row_of(version.runtime).self_contained or not (version.requirements or version.python):
        return None
    # What its upload was allowed stays allowed.
    required = parse(version.requirements, urls=True)
    if met_here(required, python=version.python):
        return None
    return EnvironmentSpec(
        requirements=tuple(sorted({*required, *row_of(version.runtime).packages})),
        python=version.python or stack_python(),
    )


def stack_python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
