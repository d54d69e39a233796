"""Two hosts on one machine: network namespaces with a cable between them, and nothing else."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

# For documentation: no network of anybody's (RFC 5737).
WEB_ADDRESS, REPLICA_ADDRESS = "192.0.2.1", "192.0.2.2"
CABLE = "cable"
NOBODY = "02:00:00:00:00:99"


@dataclass(frozen=True, kw_only=True)
class Link:
    """The cable between the host of a web process and that of replicas, by the names of both."""

    web: str
    replicas: str

    def cut(self) -> None:
        """The web process's host has no address, so that there is no way to the other's."""
        ip("-n", self.web, "address", "flush", "dev", CABLE)

    def mend(self) -> None:
        ip("-n", self.web, "address", "replace", f"{WEB_ADDRESS}/24", "dev", CABLE)

    def drop(self) -> None:
        """Lose without a word everything sent to the replicas' host, as a firewall does."""
        ip(*self._neighbour("replace"), "lladdr", NOBODY, "nud", "permanent")

    def deliver(self) -> None:
        ip(*self._neighbour("del"))

    def _neighbour(self, verb: str) -> tuple[str, ...]:
        return ("-n", self.web, "neigh", verb, REPLICA_ADDRESS, "dev", CABLE)


def inside(name: str, *, host: str = "") -> tuple[str, ...]:
    """The beginning of a command that runs there, on a host of this name where one is given."""
    there = ("ip", "netns", "exec", name)
    if not host:
        return there
    return (*there, "unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host)


@contextmanager
def linked_namespaces() -> Iterator[Link]:
    """Make both, and remove them; skips the test, saying why, where this user may not."""
    link = Link(web=f"clipper-web-{os.getpid()}", replicas=f"clipper-replicas-{os.getpid()}")
    try:
        _make(link)
        yield link
    finally:
        for name in (link.web, link.replicas):  # the cable goes with its ends
            with suppress(FileNotFoundError, subprocess.CalledProcessError):
                ip("netns", "del", name)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)


def _make(link: Link) -> None:
    try:
        for name in (link.web, link.replicas):
            ip("netns", "add", name)
        ends = ("netns", link.web, "type", "veth", "peer", "name", CABLE, "netns", link.replicas)
        ip("link", "add", "name", CABLE, *ends)
    except FileNotFoundError:
        pytest.skip("no network namespaces: there is no ip here (iproute2)")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces: {error.stderr.strip()}")
    for name, address in ((link.web, WEB_ADDRESS), (link.replicas, REPLICA_ADDRESS)):
        for device in ("lo", CABLE):
            ip("-n", name, "link", "set", device, "up")
        ip("-n", name, "address", "add", f"{address}/24", "dev", CABLE)
