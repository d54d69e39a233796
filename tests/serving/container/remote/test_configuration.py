"""Configurations of remote versions are checked, and equal ones have equal bytes."""

from typing import Any

import pytest

from serving.container.failures.container_errors import ArtifactInvalid
from serving.container.remote.configuration import RemoteConfiguration, check_secret
from serving.container.remote.protocols import dialect_of

GOOD: dict[str, Any] = {"url": "http://triton:8000/v2/models/iris", "protocol": "open-inference"}
DEEP: Any = "$inputs"
for _ in range(2000):
    DEEP = [DEEP]


def parse(**changes: Any) -> RemoteConfiguration:
    return RemoteConfiguration.parse(GOOD | changes)


def test_the_artifact_is_the_same_however_it_was_said() -> None:
    said = {"timeout_ms": 2000, "output": "label"}
    one = parse(**said).artifact
    other = RemoteConfiguration.parse(dict(reversed([*GOOD.items(), *said.items()]))).artifact
    assert one == other
    assert RemoteConfiguration.read(one) == parse(**said)
    assert parse(concurrency=None, timeout_ms=5000).artifact == parse().artifact


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://a/b", "file:///etc/passwd", "gopher://a", "a/b", "", "http://", "http:///x"),
        *("http://a:99999/", "http://a:0/", "http://a b/", "http://a/\r\nX: y", "http://ä.de/"),
        *("http://a\\@b/", "http://a/#part", "HTTP//a", "http://[::1", "http://a/" + "x" * 3000),
    ],
)
def test_what_is_no_url_of_a_model_is_refused(url: str) -> None:
    with pytest.raises(ArtifactInvalid, match=r"^url: Expected"):
        parse(url=url)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://ada:pw1234@a/",
            "http://ada@a/",
            "http://:pw1234@a:0/",
            "http://ada:pw1234@ä.de/",
        ),
        *("ftp://a/?key=pw1234", "http://a:0/?key=pw1234", "http://a/?key=pw1234#b"),
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ArtifactInvalid) as refused:
        parse(url=url)
    assert "pw1234" not in str(refused.value)


def test_an_artifact_that_is_nested_deep_is_none() -> None:
    with pytest.raises(ArtifactInvalid, match="expected a configuration as JSON"):
        RemoteConfiguration.read(b'{"template":' + b"[" * 50_000)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"timeout_ms": 0}, "^timeout_ms: Expected 1 to 600000, got '0"),
        ({"timeout_ms": 1e9}, "timeout_ms"),
        ({"concurrency": 0}, "concurrency: Expected 1 to 64, got '0'"),
        ({"concurrency": 65}, "concurrency"),
        ({"protocol": "grpc"}, "one of open-inference, mlflow, openai, json, got 'grpc'"),
        ({"protocol": ["json"]}, "protocol: Expected one of"),
        ({"verify": False}, "verify"),
        ({"template": {}}, "template: Expected none with the protocol open-inference"),
        ({"secret_header": "Host"}, "secret_header: Expected the name of a header"),
        ({"secret_header": "X-Key: a\r\nY"}, "secret_header"),
        ({"protocol": "json"}, r'template: .*"\$inputs".* got it 0 times'),
        ({"protocol": "json", "template": ["$input", "$inputs"]}, "got it 2 times"),
        (
            {"protocol": "json", "template": ["$input", {"$input": 1}]},
            "as a value, got it as a key",
        ),
        ({"protocol": "openai", "template": []}, "template: Expected an object"),
        ({"protocol": "json", "template": DEEP}, "template: Expected at most 64 levels"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(
    changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ArtifactInvalid, match=reason):
        parse(**changes)


@pytest.mark.parametrize(
    ("changes", "input_type", "reason"),
    [
        ({"url": "http://a/predict"}, "doubles", "url: Expected a path such as /v2/models/NAME"),
        ({"url": "http://a/v2/models/"}, "doubles", "url: Expected a path"),
        ({"url": "http://a/v1/chat", "protocol": "openai"}, "strings", "/chat/completions"),
        (
            {"url": "http://a/v1/chat/completions", "protocol": "openai"},
            "doubles",
            "takes inputs of the types strings and json, the model's are doubles",
        ),
    ],
)
def test_a_protocol_refuses_other_urls_and_other_inputs(
    changes: dict[str, Any], input_type: str, reason: str
) -> None:
    with pytest.raises(ArtifactInvalid, match=reason):
        dialect_of(parse(**changes), input_type=input_type)


@pytest.mark.parametrize("secret", ["a\r\nX: y", "ключ1234", " padded1234 ", "x1234" * 9000])
def test_a_secret_that_no_header_holds_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ArtifactInvalid) as refused:
        check_secret(secret)
    assert "1234" not in str(refused.value)
