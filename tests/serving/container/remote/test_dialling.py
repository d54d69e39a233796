"""An address that answers nobody doesn't take the time of a host's other addresses."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from serving.container.remote.dialling import MOST_ADDRESSES, first_connected, in_turns
from serving.container.remote.hosts import Address

FIRST, SECOND, THIRD = map(ip_address, ("10.0.0.1", "10.0.0.2", "10.0.0.3"))
NEVER = 3600.0


class Opened:
    """A connection to an address that a test plays."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Net:
    """Addresses that take connections when a test says so; the others answer nobody."""

    def __init__(self) -> None:
        self.dialled: list[Address] = []
        self.opened: dict[Address, asyncio.Future[Opened]] = {}
        self.given_up: list[Address] = []

    async def dial(self, address: Address) -> Opened:
        self.dialled.append(address)
        try:
            return await self.answer_of(address)
        except asyncio.CancelledError:
            self.given_up.append(address)
            raise

    def answer_of(self, address: Address) -> asyncio.Future[Opened]:
        return self.opened.setdefault(address, asyncio.get_running_loop().create_future())

    def accept(self, address: Address) -> Opened:
        opened = Opened(address)
        self.answer_of(address).set_result(opened)
        return opened


def test_families_take_turns_and_that_of_the_first_comes_first() -> None:
    six = [ip_address(f"2001:db8::{number}") for number in (1, 2, 3)]
    assert in_turns([*six, FIRST, SECOND]) == [six[0], FIRST, six[1], SECOND, six[2]]
    assert in_turns([FIRST, SECOND, six[0]]) == [FIRST, six[0], SECOND]
    assert in_turns([]) == []
    assert len(in_turns([ip_address(number) for number in range(99)])) == MOST_ADDRESSES


async def test_the_next_is_begun_though_the_first_answers_nobody() -> None:
    net = Net()
    second = net.accept(SECOND)
    found = await first_connected([FIRST, SECOND, THIRD], dial=net.dial, next_after_s=0.01)
    assert found is second
    await asyncio.sleep(0)
    assert (net.dialled, net.given_up) == ([FIRST, SECOND], [FIRST])
    assert not second.closed


async def test_one_that_fails_makes_way_at_once() -> None:
    net = Net()
    net.answer_of(FIRST).set_exception(ConnectionRefusedError("refused"))
    net.accept(SECOND)
    found = await first_connected([FIRST, SECOND], dial=net.dial, next_after_s=NEVER)
    assert found.address == SECOND


async def test_the_first_may_still_win() -> None:
    net = Net()
    asked = asyncio.ensure_future(
        first_connected([FIRST, SECOND], dial=net.dial, next_after_s=0.01)
    )
    while len(net.dialled) < 2:
        await asyncio.sleep(0.001)
    first = net.accept(FIRST)
    assert await asked is first
    assert net.given_up == [SECOND]


async def test_of_two_that_come_at_once_one_is_closed() -> None:
    net = Net()
    asked = asyncio.ensure_future(
        first_connected([FIRST, SECOND], dial=net.dial, next_after_s=0.01)
    )
    while len(net.dialled) < 2:
        await asyncio.sleep(0.001)
    both = [net.accept(FIRST), net.accept(SECOND)]
    found = await asked
    for _ in range(3):
        await asyncio.sleep(0)
    assert [opened.closed for opened in both] == [opened is not found for opened in both]


async def test_where_all_fail_the_last_says_why() -> None:
    net = Net()
    for address in (FIRST, SECOND):
        net.answer_of(address).set_exception(ConnectionRefusedError(str(address)))
    with pytest.raises(ConnectionRefusedError, match=r"10\.0\.0\.2"):
        await first_connected([FIRST, SECOND], dial=net.dial, next_after_s=NEVER)
    with pytest.raises(OSError, match="no address"):
        await first_connected([], dial=net.dial)


async def test_who_gives_up_leaves_nobody_dialling() -> None:
    net = Net()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await first_connected([FIRST, SECOND], dial=net.dial, next_after_s=0.001)
    await asyncio.sleep(0)
    assert sorted(net.given_up) == [FIRST, SECOND]
