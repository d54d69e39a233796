"""A replica's server whose model answers web processes in a process of its own."""

from __future__ import annotations

import asyncio

from serving.container.admission import PassedOn
from serving.container.boxed import BoxedPredictor
from serving.container.reception import Reception
from serving.container.statistics import Statistics
from serving.rpc.hello import Hello, encode_hello
from serving.rpc.listening import TcpListen


class BoxedServer:
    """Lets web processes in at one address, and hands them over to the model's process.

    `address` is a Unix socket; with `listen` it is TCP instead, where peers have to authenticate,
    without TLS: its state can't be handed over.
    """

    def __init__(
        self,
        predictor: BoxedPredictor,
        *,
        hello: Hello,
        address: str = "",
        listen: TcpListen | None = None,
    ) -> None:
        self._predictor = predictor
        self._greeting = encode_hello(hello)
        self._reception = Reception(hello=hello, address=address, listen=listen)

    @property
    def address(self) -> str:
        """Where it can be dialled once it has started."""
        return self._reception.address

    @property
    def statistics(self) -> Statistics:
        """As the model's process last told them."""
        return self._predictor.statistics

    async def start(self) -> None:
        """Listen; raises OSError when the address is taken."""
        await self._reception.open(
            lambda: PassedOn(self._predictor.admissions, greeting=self._greeting)
        )

    def drain(self) -> None:
        """Ask every peer to send no more and to close; what still arrives is answered."""
        self._predictor.drain()

    async def wait_closed(self, timeout: float) -> bool:  # noqa: ASYNC109  # it is the point
        """After drain(): wait until every peer has closed, or timeout seconds; then let nobody in.

        Returns whether all had closed in time. Those that had not are cut off with the process.
        """
        all_gone = await asyncio.to_thread(self._predictor.wait_drained, timeout)
        self._reception.close()
        return all_gone
