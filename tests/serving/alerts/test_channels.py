"""Channels: secrets are sealed, and no webhook leads inside."""

import socket
from typing import Any

import pytest

from core.errors import BadRequest, Conflict
from registry import services
from registry.models import AuditEntry
from serving.alerts.channels import create_channel, delete_channel, update_channel
from serving.alerts.models import Channel

INSIDE = [
    *("127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "10.255.255.255", "172.16.0.1"),
    *("172.31.255.1", "192.168.0.1", "169.254.169.254", "169.254.170.2", "100.64.0.1"),
    *("100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.2.1", "192.88.99.1"),
    *("198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1"),
    *("255.255.255.255", "[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]"),
    *("[ff02::1]", "[::ffff:127.0.0.1]", "[::ffff:169.254.169.254]", "[2001:db8::1]"),
    *("[2002:7f00:1::]", "[2001:0:7f00:1::]", "[64:ff9b::7f00:1]", "[fec0::1]", "[3fff::1]"),
    *("localhost", "localhost.", "[::127.0.0.1]", "[::ffff:10.0.0.1]"),
]


def make(target: str, *, kind: str = "webhook", name: str = "a") -> tuple[Channel, str]:
    return create_channel(name=name, kind=kind, target=target, by=services.SYSTEM)


def test_forty_places_are_inside() -> None:
    assert len(set(INSIDE)) >= 40


@pytest.mark.django_db
@pytest.mark.parametrize("host", INSIDE)
def test_no_webhook_leads_inside(host: str) -> None:
    with pytest.raises(BadRequest, match=r"target: .*"):
        make(f"http://{host}/hook")
    assert not Channel.objects.exists()


@pytest.mark.django_db
def test_a_name_that_leads_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("10.0.0.1", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: inside)
    with pytest.raises(BadRequest, match="CLIPPER_ALERT_HOSTS"):
        make("https://hooks.example.com/")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "target", ["ftp://8.8.8.8/", "file:///etc/passwd", "http://me:pw@8.8.8.8/", "", "https:///x"]
)
def test_what_is_no_url_is_refused(target: str) -> None:
    with pytest.raises(BadRequest):
        make(target)


@pytest.mark.django_db
def test_mail_needs_addresses_and_a_server(settings: Any) -> None:
    settings.EMAIL_HOST = ""
    with pytest.raises(BadRequest, match="EMAIL_HOST"):
        make("ada@example.com", kind="mail")
    with pytest.raises(BadRequest, match="mail addresses"):
        make("ada", kind="mail")


@pytest.mark.django_db
def test_secrets_are_sealed_and_the_audit_trail_has_none() -> None:
    channel, secret = make("https://8.8.8.8/services/T0/hidden")
    assert secret.startswith("whsec_")
    assert channel.shown == "https://8.8.8.8/…"
    update_channel(channel, changes={"target": "https://8.8.4.4/other/hidden"}, by=services.SYSTEM)
    delete_channel(channel, by=services.SYSTEM)
    entries = AuditEntry.objects.filter(kind="channel").order_by("id")
    assert [entry.action for entry in entries] == ["create", "change", "delete"]
    stored = " ".join([*map(str, entries.values_list("changes", flat=True)), channel.target])
    assert "hidden" not in stored
    assert secret not in channel.secret


@pytest.mark.django_db
def test_two_channels_have_two_names() -> None:
    make("https://8.8.8.8/")
    with pytest.raises(Conflict):
        make("https://8.8.8.8/")
