"""Settings of replicas on other hosts: what is wrong or half done is said before a start."""

from pathlib import Path

import pytest

from clipper_site.settings.addresses import address_towards, parse_dialled_host, parse_ports
from tests.serving.rpc.tcp.certificates import Authority
from tests.site import manage


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Certificate, key and CA that belong together."""
    authority = Authority.new(tmp_path_factory.mktemp("ca"), name="ours")
    certificate, key = authority.sign(host="127.0.0.1")
    return {
        "CLIPPER_TLS_CERT": str(certificate),
        "CLIPPER_TLS_KEY": str(key),
        "CLIPPER_TLS_CA": str(authority.certificate),
    }


def test_wrong_hosts_and_ports_are_named(tmp_path: Path) -> None:
    said = manage.checked(
        var=tmp_path, CLIPPER_ADVERTISE_HOST="0.0.0.0", CLIPPER_REPLICA_PORTS="20100-20000"
    )
    assert "(clipper.E001) CLIPPER_ADVERTISE_HOST is '0.0.0.0'; expected a host name" in said
    assert "(clipper.E001) CLIPPER_REPLICA_PORTS is '20100-20000'; expected a range" in said


def test_auto_is_the_address_of_the_interface_that_reaches_redis() -> None:
    assert address_towards("redis://:secret@127.0.0.1:6390/0") == "127.0.0.1"
    assert address_towards("rediss://[::1]") == "::1"


@pytest.mark.parametrize("url", ["", "unix:///run/redis.sock?db=0", "redis://nowhere.invalid"])
def test_auto_needs_a_redis_that_is_reached_by_tcp(url: str) -> None:
    with pytest.raises(OSError):
        address_towards(url)


def test_a_short_secret_is_an_error_that_does_not_show_it(tmp_path: Path) -> None:
    said = manage.checked(var=tmp_path, CLIPPER_CLUSTER_SECRET="guessable")
    assert "(clipper.E003) CLIPPER_CLUSTER_SECRET has fewer than 32 characters." in said
    assert "HINT: Set it to the output of `openssl rand -hex 32`" in said
    assert "guessable" not in said


def test_a_complete_set_passes(tmp_path: Path, files: dict[str, str]) -> None:
    said = manage.checked(
        var=tmp_path,
        CLIPPER_ADVERTISE_HOST="gpu1.example.com",
        CLIPPER_BIND_HOST="0.0.0.0",
        CLIPPER_REPLICA_PORTS="20000-20100",
        CLIPPER_CLUSTER_SECRET="s" * 32,
        **files,
    )
    assert said == ""
    assert manage.checked(var=tmp_path, CLIPPER_TLS_CA=files["CLIPPER_TLS_CA"]) == ""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["CERT"], "CLIPPER_TLS_CERT is set, but CLIPPER_TLS_KEY is not."),
        (["KEY", "CA"], "CLIPPER_TLS_KEY is set, but CLIPPER_TLS_CERT is not."),
        (["CERT", "KEY"], "CLIPPER_TLS_CERT is set, but CLIPPER_TLS_CA is not"),
        (["CA"], "CLIPPER_TLS_CA is set, but CLIPPER_TLS_CERT is not"),
    ],
)
def test_half_of_tls_is_an_error(
    given: list[str], said: str, tmp_path: Path, files: dict[str, str]
) -> None:
    settings = {f"CLIPPER_TLS_{name}": files[f"CLIPPER_TLS_{name}"] for name in given}
    checked = manage.checked(var=tmp_path, CLIPPER_ADVERTISE_HOST="127.0.0.1", **settings)
    assert f"(clipper.E004) {said}" in checked


def test_files_that_cannot_be_used_are_errors(tmp_path: Path, files: dict[str, str]) -> None:
    swapped = files | {"CLIPPER_TLS_KEY": files["CLIPPER_TLS_CERT"], "CLIPPER_TLS_CA": "/nowhere"}
    said = manage.checked(var=tmp_path, **swapped)
    assert "(clipper.E005) CLIPPER_TLS_CERT and CLIPPER_TLS_KEY cannot be used:" in said
    assert "(clipper.E005) CLIPPER_TLS_CA cannot be used: [Errno 2]" in said


def test_settings_of_tcp_without_an_advertised_host_are_a_warning(tmp_path: Path) -> None:
    said = manage.checked(var=tmp_path, CLIPPER_REPLICA_PORTS="20000-20100")
    assert "(clipper.W001) CLIPPER_REPLICA_PORTS has no effect" in said


def test_a_host_is_one_that_others_can_dial() -> None:
    for text in ("10.0.0.7", "gpu1", "gpu1.example.com", "::1", "fd00::7"):
        assert parse_dialled_host(text) == text
    for text in ("0.0.0.0", "::", "host:80", "tcp:host", "10.0.0.300", "a host", "-x", "224.0.0.1"):
        with pytest.raises(ValueError, match=r"."):
            parse_dialled_host(text)


def test_ports_are_a_range_with_both_its_ends_or_one() -> None:
    assert parse_ports("20000-20100") == range(20000, 20101)
    assert parse_ports("20000") == range(20000, 20001)
    for text in ("0-10", "65000-70000", "9-8", "many", "1-2-3", "-5"):
        with pytest.raises(ValueError, match=r"."):
            parse_ports(text)
