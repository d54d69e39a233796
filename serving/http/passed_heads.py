"""Heads of requests that are passed on to the console, with the address of whom they are from.

The console believes the address for the token beside it, made with the cluster's secret for this
request and a few minutes: a listener that is trusted would trust all of its network instead.
"""

from collections.abc import Iterable
from time import time

from core.host_tokens import CLIENTS, HostTokens
from serving.http.asgi import Endpoint, Receive, Scope, Send, endpoint, header

CLIENT_FIELD = b"x-clipper-client"
# Fields that say something about one connection only.
HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding")
)
NOT_PASSED_ON = HOP_BY_HOP | {b"upgrade", CLIENT_FIELD}

Address = tuple[str, int]


class PassedHeads:
    """Writes and reads the heads of one cluster, whose processes share the secret."""

    def __init__(self, secret: bytes) -> None:
        self._tokens = HostTokens(secret, purpose=CLIENTS)

    def head(
        self,
        method: bytes,
        *,
        target: bytes,
        fields: Iterable[tuple[bytes, bytes]],
        client: Address | None,
        ending: bytes,
    ) -> bytes:
        """Return the head to send; `ending` are the lines that say how the connection goes on."""
        lines = [b"%b %b HTTP/1.1\r\n" % (method, target)]
        lines += [b"%b: %b\r\n" % field for field in fields if field[0] not in NOT_PASSED_ON]
        if client is not None:
            name = b"%b %d" % (client[0].encode(), client[1])
            token = self._tokens.make(_said(name, method=method, target=target), now=time())
            lines.append(b"%b: %b %b\r\n" % (CLIENT_FIELD, name, token.encode()))
        return b"".join((*lines, ending, b"\r\n"))

    def read_by(self, application: Endpoint) -> Endpoint:
        """Return an application that gets requests with the address of whom they are from."""

        async def named(scope: Scope, receive: Receive, send: Send) -> None:
            field = header(scope, CLIENT_FIELD)
            if field is not None:
                scope["client"] = self._client(field, scope=scope)
            await application(scope, receive, send)

        return endpoint(named)

    def _client(self, field: bytes, *, scope: Scope) -> Address:
        host, port, token = (*field.split(b" ", 2), b"", b"")[:3]
        said = _said(
            b"%b %b" % (host, port), method=scope["method"].encode(), target=target_of(scope)
        )
        self._tokens.check(token.decode("latin-1"), text=said, now=time())
        return host.decode("latin-1"), int(port)


def target_of(scope: Scope) -> bytes:
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    return bytes(scope["raw_path"] + query)


def _said(client: bytes, *, method: bytes, target: bytes) -> str:
    return b" ".join((client, method, target)).decode("latin-1")
