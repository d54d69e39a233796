"""TCP addresses of a replica: listened on, and advertised."""

from dataclasses import dataclass

from serving.rpc.address import TcpAddress
from serving.rpc.tcp.credentials import Credentials

ANY_PORT = range(1)  # the system chooses


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpListen:
    """It binds the first free one of `ports` on `bind_host`; others dial `advertise_host`."""

    advertise_host: str
    bind_host: str
    credentials: Credentials
    ports: range = ANY_PORT

    @property
    def bound_address(self) -> str:
        return str(TcpAddress(self.bind_host, self.ports[0]))

    def advertised_address(self, port: int) -> str:
        return str(TcpAddress(self.advertise_host, port))
