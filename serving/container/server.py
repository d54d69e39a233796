"""A replica's server: listens for web processes, and answers them in its own process."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from serving.container.batch_server import BatchServer
from serving.container.predictor import BatchPredictor
from serving.container.reception import Reception
from serving.rpc.buffers import keep_freed_memory
from serving.rpc.hello import Hello, encode_hello
from serving.rpc.listening import TcpListen


class ContainerServer(BatchServer):
    """Serves one model at one address.

    `address` is a Unix socket; with `listen` it is TCP instead, where peers have to authenticate.
    """

    def __init__(
        self,
        predictor: BatchPredictor,
        *,
        hello: Hello,
        address: str = "",
        listen: TcpListen | None = None,
    ) -> None:
        super().__init__(predictor, greeting=encode_hello(hello), concurrency=hello.concurrency)
        self._reception = Reception(hello=hello, address=address, listen=listen)

    @property
    def address(self) -> str:
        """Where it can be dialled once it has started."""
        return self._reception.address

    async def start(self) -> None:
        """Listen; raises OSError when the address is taken."""
        keep_freed_memory()
        await self._reception.open(self.new_connection)

    async def wait_closed(self, timeout: float) -> bool:  # noqa: ASYNC109  # it is the point
        """After drain(): wait until every peer has closed, or timeout seconds; then stop.

        Returns whether all peers had closed in time. Those that had not are cut off.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.peers_gone()
        all_gone = not self.connections
        self._reception.close()
        self.cut_off()
        return all_gone
