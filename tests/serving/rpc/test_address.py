"""Addresses are read exactly, or refused with what was expected."""

from pathlib import Path

import pytest

from serving.rpc.address import TcpAddress, UnixAddress, parse_address
from serving.rpc.errors import InvalidAddress


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/r.sock", UnixAddress(Path("/run/r.sock"))),
        ("tcp:127.0.0.1:8080", TcpAddress("127.0.0.1", 8080)),
        ("tcp:[::1]:8080", TcpAddress("::1", 8080)),
    ],
)
def test_an_address_is_read_and_written_back(text: str, address: object) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize("text", ["", "unix:", "/run/r.sock", "tcp:host", "tcp::1", "tcp:h:99999"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress, match="expected"):
        parse_address(text)


def test_a_socket_path_that_the_system_would_cut_is_refused() -> None:
    with pytest.raises(InvalidAddress, match="at most 107 bytes, got 108"):
        parse_address("unix:/" + "x" * 107)
