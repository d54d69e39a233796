"""Hosts at which remote models may be asked: the operator's list, for names and addresses.

An entry is a name (`model.example.com`, or `*.example.com` for those below it), an address, a
network (`10.1.0.0/16`), or `*` for every public host; `:port` after it allows that port alone.

A name on the list leads to public addresses only. Private, loopback, link-local and otherwise
special addresses, such as that of a cloud's metadata service, have to be listed themselves:
otherwise the owner of a name's DNS could send us there.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from serving.container.remote.failures import HostRefused

SETTING = "CLIPPER_REMOTE_HOSTS"
ANY = "*"
_NAME = re.compile(r"(\*\.)?[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Special all the same, though `ipaddress` of some Python that we run on calls them global.
SPECIAL: tuple[Network, ...] = tuple(
    map(
        ipaddress.ip_network,
        (
            "168.63.129.16/32",  # the host of an Azure machine, which has its metadata
            "192.0.0.0/24",  # IETF protocol assignments; 192.0.0.192 is Oracle's metadata
            "192.88.99.0/24",  # relays of 6to4 (RFC 7526)
            "3fff::/20",  # documentation (RFC 9637)
            "fec0::/10",  # site-local (RFC 3879)
        ),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedHost:
    """One entry of the list; `port` None: every port."""

    name: str = ""
    network: Network | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> AllowedHost:
        """Raises ValueError for a malformed entry."""
        host, port = _split(text.lower())
        if host == ANY or _NAME.fullmatch(host):
            with_digits = host.replace(".", "").isdigit()  # an address that was mistyped
            if not with_digits:
                return cls(name=host, port=port)
        return cls(network=ipaddress.ip_network(host, strict=False), port=port)

    def has_name(self, host: str, *, port: int) -> bool:
        if not self.name or self.port not in (None, port):
            return False
        if self.name.startswith("*."):
            return host.endswith(self.name[1:])
        return self.name in (ANY, host)

    def has_address(self, address: Address, *, port: int) -> bool:
        return self.network is not None and self.port in (None, port) and address in self.network


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """The operator's list; an empty one allows nothing."""

    entries: tuple[AllowedHost, ...] = ()
    setting: str = SETTING

    @classmethod
    def parse(cls, text: str, *, setting: str = SETTING) -> AllowedHosts:
        """Read a list separated by commas; raises ValueError for a malformed entry."""
        return cls(tuple(map(AllowedHost.parse, _parts(text))), setting)

    def check_now(self, host: str, *, port: int) -> None:
        """Raise HostRefused for a host, or an address of it now, that isn't allowed (blocking)."""
        self.check_host(host, port=port)
        for address in resolve_in_time(host, port=port):
            self.check_address(address, host=host, port=port)

    def check_host(self, host: str, *, port: int) -> None:
        """Raise HostRefused if no address could be allowed; names aren't looked up."""
        address = address_of(host)
        if address is not None:
            self.check_address(address, host=host, port=port)
            return
        networks = any(entry.network and entry.port in (None, port) for entry in self.entries)
        if not networks and not self._has_name(host, port=port):
            raise HostRefused(f"{_at(host, port)} is not in {self.setting}, the operator's list")

    def check_address(self, address: Address, *, host: str, port: int) -> None:
        """Raise HostRefused unless `host`, a name or the address itself, may lead there."""
        plain = _unwrapped(address)
        if any(entry.has_address(plain, port=port) for entry in self.entries):
            return
        shown = _at(host, port) if address_of(host) else f"{_at(host, port)} leads to {plain}, and"
        if not is_public(plain):
            raise HostRefused(
                f"{shown} is no public address: it has to be in {self.setting} as an address "
                "or network"
            )
        if not self._has_name(host, port=port):
            raise HostRefused(f"{shown} is not in {self.setting}, the operator's list")

    def _has_name(self, host: str, *, port: int) -> bool:
        return any(entry.has_name(host, port=port) for entry in self.entries)


def is_public(address: Address) -> bool:
    """Return whether an address is on the public internet."""
    special = (
        address.is_reserved
        or address.is_multicast
        or address.is_unspecified
        or any(address in network for network in SPECIAL)
    )
    embedded = isinstance(address, ipaddress.IPv6Address) and bool(
        address.sixtofour or address.teredo
    )
    return address.is_global and not special and not embedded


def address_of(host: str) -> Address | None:
    """Return the address that a host is written as; None for a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def resolve(host: str, *, port: int) -> list[Address]:
    """Return the addresses of a host now (blocking). Raises OSError or UnicodeError."""
    literal = address_of(host)
    if literal is not None:
        return [literal]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = (address_of(str(sockaddr[0])) for *_, sockaddr in found)
    return [address for address in dict.fromkeys(addresses) if address is not None]


def resolve_in_time(host: str, *, port: int) -> list[Address]:
    """Return the addresses of a host now; none if they can't be looked up in a short time."""
    found: list[Address] = []

    def look_up() -> None:
        with suppress(OSError, UnicodeError):
            found.extend(resolve(host, port=port))

    # The resolver's own limits are far longer, and it can't be interrupted.
    thread = threading.Thread(target=look_up, name="resolve", daemon=True)
    thread.start()
    # A form that waits for a name to be looked up waits no longer.
    thread.join(3.0)
    return list(found)


def _unwrapped(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _parts(text: str) -> Iterator[str]:
    return (part.strip() for part in text.split(",") if part.strip())


def _split(text: str) -> tuple[str, int | None]:
    """Take `:port` off; an IPv6 address with one stands in brackets."""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError(text)
        return host, _port(port[1:]) if port else None
    host, colon, port = text.rpartition(":")
    if not colon or ":" in host:
        return text, None
    return host, _port(port)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536):
        raise ValueError(text)
    return int(text)


def _at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
