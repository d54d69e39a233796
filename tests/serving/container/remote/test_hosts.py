"""The operator's list decides by name and by address where remote models may be asked."""

from ipaddress import ip_address

import pytest

from serving.container.remote.failures import HostRefused
from serving.container.remote.hosts import AllowedHosts, is_public

SPECIAL = [
    *("127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
    *("100.64.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1"),
    *("::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1"),
    *("::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::1"),
    *("::127.0.0.1", "168.63.129.16", "192.0.0.192", "192.88.99.1", "::ffff:168.63.129.16"),
    *("fec0::1", "feff::1", "64:ff9b:1::a00:1", "3fff::1", "5f00::1"),
]


@pytest.mark.parametrize("address", SPECIAL)
def test_special_addresses_are_no_public_ones(address: str) -> None:
    assert not is_public(ip_address(address))
    for listed in ("*", "model.example.com"):
        with pytest.raises(HostRefused):
            AllowedHosts.parse(listed).check_address(
                ip_address(address), host="model.example.com", port=80
            )


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
def test_public_ones_are_where_a_listed_name_may_lead(address: str) -> None:
    hosts = AllowedHosts.parse("model.example.com")
    hosts.check_address(ip_address(address), host="model.example.com", port=443)
    with pytest.raises(HostRefused, match=r"leads to .* not in CLIPPER_REMOTE_HOSTS"):
        hosts.check_address(ip_address(address), host="other.example.com", port=443)


@pytest.mark.parametrize(
    ("listed", "host", "port", "fine"),
    [
        ("model.example.com", "model.example.com", 80, True),
        ("Model.Example.com", "model.example.com", 80, True),
        ("model.example.com", "evil-model.example.com", 80, False),
        ("model.example.com", "model.example.com.evil.org", 80, False),
        ("*.example.com", "a.b.example.com", 80, True),
        ("*.example.com", "example.com", 80, False),
        ("*.example.com", "evilexample.com", 80, False),
        ("model.example.com:8443", "model.example.com", 8443, True),
        ("model.example.com:8443", "model.example.com", 80, False),
        ("*", "anything.org", 80, True),
        ("*:443", "anything.org", 80, False),
        ("", "model.example.com", 80, False),
        ("127.0.0.1", "127.0.0.1", 9000, True),
        ("127.0.0.1:9000", "127.0.0.1", 9001, False),
        ("10.0.0.0/8", "10.20.30.40", 80, True),
        ("10.0.0.0/8", "11.20.30.40", 80, False),
        ("10.0.0.0/8:8000", "10.20.30.40", 8001, False),
        ("[::1]:8000", "::1", 8000, True),
        ("::1", "::1", 8000, True),
        ("*", "127.0.0.1", 80, False),
        ("*", "169.254.169.254", 80, False),
        ("*", "8.8.8.8", 80, True),
        ("8.8.8.8", "8.8.4.4", 80, False),
    ],
)
def test_a_host_is_on_the_list_or_not(listed: str, host: str, port: int, fine: bool) -> None:
    hosts = AllowedHosts.parse(listed)
    if fine:
        hosts.check_host(host, port=port)
        return
    with pytest.raises(HostRefused, match="CLIPPER_REMOTE_HOSTS"):
        hosts.check_host(host, port=port)


def test_a_name_may_lead_into_a_listed_network_whoever_has_it() -> None:
    hosts = AllowedHosts.parse("10.0.0.0/8")
    hosts.check_host("triton.internal", port=8000)
    hosts.check_address(ip_address("10.1.2.3"), host="triton.internal", port=8000)
    with pytest.raises(HostRefused):
        hosts.check_address(ip_address("8.8.8.8"), host="triton.internal", port=8000)


@pytest.mark.parametrize(
    "listed", ["http://a", "a:b", "a:0", "a:70000", "10.0.0.0/33", "1.2.3", "a b", "[::1", "-a"]
)
def test_a_list_with_what_is_no_host_is_refused(listed: str) -> None:
    with pytest.raises(ValueError):
        AllowedHosts.parse(f"fine.example.com, {listed}")
