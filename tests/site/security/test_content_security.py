"""No page loads or runs anything but files of our own; the walk of all pages holds the rest."""

import pytest
from django.test import Client

from clipper_site.security.content_security import HEADER


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/login/", "/admin/nothing/", "/api/v1/models/", "/nope"])
def test_what_anybody_gets_has_its_headers(path: str) -> None:
    answer = Client().get(path)
    assert "default-src 'none'" in answer[HEADER]
    assert "frame-ancestors 'none'" in answer[HEADER]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer["X-Frame-Options"] == "DENY"
