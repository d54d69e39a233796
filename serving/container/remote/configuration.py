"""Configuration of a remote version, which as JSON is its artifact."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import msgspec

from serving.container.failures.container_errors import ArtifactInvalid
from serving.container.inputs.examples import MOST_NESTED, is_nested_deep
from serving.rpc.text import safe_text

ProtocolName = Literal["open-inference", "mlflow", "openai", "json"]
INPUT, INPUTS = "$input", "$inputs"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
# Those that say where a request goes and where it ends.
_OURS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade"}
    | {"accept-encoding", "expect", "te", "trailer", "inference-header-content-length"}
)


class RemoteConfiguration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Address of a remote model, and how to ask it.

    `timeout_ms` is for one request with all its retries; `concurrency` (None: the protocol's) how
    many requests a replica has under way at once. `output` says which part of an answer counts.
    The secret goes as a bearer, or as it is in the header that `secret_header` names.
    """

    url: str
    protocol: ProtocolName
    timeout_ms: float = 5000.0
    concurrency: int | None = None
    template: Any = None
    output: str = ""
    secret_header: str = ""

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> RemoteConfiguration:
        """Raises ArtifactInvalid, which names the wrong field."""
        known = get_args(ProtocolName)
        if (protocol := given.get("protocol", known[0])) not in known:
            raise _wrong("protocol", f"one of {', '.join(known)}", protocol)
        try:
            parsed = msgspec.convert(dict(given), cls)
        except msgspec.ValidationError as error:
            reason, at, field = str(error).partition(" - at `$.")
            raise ArtifactInvalid(f"{field[:-1]}: {reason}." if at else reason) from None
        parsed.check()
        return parsed

    @classmethod
    def read(cls, artifact: bytes) -> RemoteConfiguration:
        """Raises ArtifactInvalid for what is no artifact of this runtime."""
        try:
            given = msgspec.json.decode(artifact)
        except (ValueError, RecursionError) as error:
            raise ArtifactInvalid(f"expected a configuration as JSON: {error}") from None
        if not isinstance(given, dict):
            raise ArtifactInvalid("expected a configuration as a JSON object")
        return cls.parse(given)

    @property
    def artifact(self) -> bytes:
        """The same bytes for the same configuration."""
        return msgspec.json.encode(self, order="sorted")

    @property
    def place(self) -> Place:
        return Place.of(self.url)

    def check(self) -> None:
        _check_url(self.url)
        if not 1 <= self.timeout_ms <= 600_000:
            raise _wrong("timeout_ms", "1 to 600000", self.timeout_ms)
        if self.concurrency is not None and not 1 <= self.concurrency <= 64:
            raise _wrong("concurrency", "1 to 64", self.concurrency)
        header = self.secret_header
        if header and (not _TOKEN.fullmatch(header) or header.lower() in _OURS):
            raise _wrong("secret_header", "the name of a header that isn't the request's", header)
        if len(self.output) > 2000 or not self.output.isprintable():
            raise _wrong("output", "at most 2000 printable characters", self.output)
        _check_template(self.template, protocol=self.protocol)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a URL that a request needs; `netloc` is as the header Host has it."""

    secure: bool
    netloc: str
    host: str
    port: int
    path: str
    query: str

    @classmethod
    def of(cls, url: str) -> Place:
        parts = urlsplit(url)
        return cls(
            secure=parts.scheme == "https",
            netloc=parts.netloc,
            host=(parts.hostname or "").rstrip("."),
            port=parts.port or _DEFAULT_PORTS[parts.scheme],
            path=parts.path or "/",
            query=f"?{parts.query}" if parts.query else "",
        )

    @property
    def name(self) -> str:
        """Return host and port for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def check_secret(secret: str) -> None:
    """Raise ArtifactInvalid, which doesn't quote it, for what no header can hold."""
    if not secret.isascii() or not secret.isprintable() or secret != secret.strip():
        raise ArtifactInvalid("secret: Expected printable ASCII without spaces around it.")
    if len(secret) > 8192:
        raise ArtifactInvalid("secret: Expected at most 8192 characters.")


def places_in(template: Any) -> int:
    """Count the places for inputs in a template; within a longer text they are none."""
    text = msgspec.json.encode(template)
    return sum(text.count(msgspec.json.encode(place)) for place in (INPUT, INPUTS))


def _check_url(url: str) -> None:
    expected = "an http or https URL with a host"
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= 2000
    if not plain or "\\" in url:
        raise ArtifactInvalid(f"url: Expected {expected}, percent-encoded.")
    try:
        parts = urlsplit(url)
        fine = parts.scheme in _DEFAULT_PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ArtifactInvalid(f"url: Expected {expected}.") from None
    if "@" in parts.netloc:
        raise ArtifactInvalid("url: Expected no credentials in it; they belong into secret.")
    if not fine or "#" in url:
        # The query may hold a token.
        raise _wrong("url", f"{expected} and without a fragment", re.split("[?#]", url)[0])


def _check_template(template: Any, *, protocol: str) -> None:
    if is_nested_deep(template):
        raise ArtifactInvalid(f"template: Expected at most {MOST_NESTED} levels.")
    text = msgspec.json.encode(template)
    if len(text) > 64 << 10:  # it is sent with each request
        raise ArtifactInvalid("template: Expected at most 65536 bytes.")
    if any(msgspec.json.encode(place) + b":" in text for place in (INPUT, INPUTS)):
        raise ArtifactInvalid(f'template: Expected "{INPUT}" as a value, got it as a key.')
    found = places_in(template)
    if protocol in ("open-inference", "mlflow"):
        if template is not None:
            raise ArtifactInvalid(f"template: Expected none with the protocol {protocol}.")
    elif protocol == "json" and found != 1:
        raise ArtifactInvalid(
            f'template: Expected a JSON value in which "{INPUTS}" (all inputs of a batch) or '
            f'"{INPUT}" (one request per input) stands once, got it {found} times.'
        )
    elif protocol == "openai":
        if template is not None and not isinstance(template, dict):
            raise ArtifactInvalid('template: Expected an object such as {"model": "name"}.')
        if found > 1:
            raise ArtifactInvalid(f"template: Expected one {INPUT} at most, got {found}.")


def _wrong(field: str, expected: str, got: object) -> ArtifactInvalid:
    return ArtifactInvalid(f"{field}: Expected {expected}, got {safe_text(str(got), most=200)!r}.")
