"""Addresses of processes: ``unix:/path`` on one host, ``tcp:host:port`` across hosts."""

from dataclasses import dataclass
from pathlib import Path

from serving.rpc.errors import InvalidAddress

# sun_path holds 108 bytes, the last of them a zero.
MAX_UNIX_PATH = 107


@dataclass(frozen=True, slots=True)
class UnixAddress:
    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp:{host}:{self.port}"


AnyAddress = UnixAddress | TcpAddress


def parse_address(address: str) -> AnyAddress:
    """Read an address; InvalidAddress says what is wrong with it."""
    scheme, _, rest = address.partition(":")
    if scheme == "unix" and rest:
        if (size := len(rest.encode())) > MAX_UNIX_PATH:
            raise InvalidAddress(
                f"expected a socket path of at most {MAX_UNIX_PATH} bytes, got {size}: {rest}"
            )
        return UnixAddress(Path(rest))
    if scheme != "tcp":
        raise InvalidAddress(f"expected unix:/path or tcp:host:port, got {address!r}")
    host, _, port = rest.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise InvalidAddress(f"expected tcp:host:port with a port up to 65535, got {address!r}")
    return TcpAddress(host, int(port))
