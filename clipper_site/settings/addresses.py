"""Reads the settings that name hosts, ports and addresses; a ValueError is a value of no use."""

import re
import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from serving.container.remote.hosts import AllowedHosts
from serving.rpc.address import AnyAddress, parse_address

_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")


def parse_dialled_host(text: str) -> str:
    """Read a host that others can dial: no port, and not the address that stands for all."""
    looks_numeric = text.rpartition(".")[2].isdigit()
    if _HOST_NAME.fullmatch(text) is None or looks_numeric:
        host = ip_address(text.removeprefix("[").removesuffix("]"))
        if host.is_unspecified or host.is_multicast:
            raise ValueError(text)
        return str(host)
    return text


def address_towards(url: str) -> str:
    """Return the address of this host's interface that reaches a server; raises OSError."""
    place = urlsplit(url)
    if place.scheme == "unix" or not place.hostname:
        raise OSError("expected a server reached by TCP")
    port = place.port or 6379
    family, kind, _, _, there = socket.getaddrinfo(place.hostname, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as asking:
        asking.connect(there)  # a datagram's: nothing is sent
        return str(asking.getsockname()[0])


def parse_tcp_address(text: str) -> AnyAddress:
    """Read "tcp:console:8001"."""
    if not text.startswith("tcp:"):
        raise ValueError(text)
    return parse_address(text)


def parse_ports(text: str) -> range:
    """Read "20000-20100", both ends included, or a single port."""
    first, _, last = text.partition("-")
    ports = range(int(first), int(last or first) + 1)
    if not ports or ports[0] < 1 or ports[-1] > 65535:
        raise ValueError(text)
    return ports


def parse_remote_hosts(text: str) -> str:
    """Return a list of hosts that remote models may be asked at, as it is, once it can be read."""
    AllowedHosts.parse(text)
    return text


def parse_web_addresses(text: str) -> tuple[str, ...]:
    """Read addresses such as "http://10.0.0.1:8000", separated by commas."""
    addresses = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    for address in addresses:
        place = urlsplit(address)
        known = place.scheme in ("http", "https") and place.hostname and place.port != 0
        if not known or place.query or place.username is not None:
            raise ValueError(text)
    return addresses
