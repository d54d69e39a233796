"""Configuration of a remote version, which as JSON is its artifact."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec

from serving.container.failures.container_errors import ArtifactInvalid
from serving.container.inputs.examples import MOST_NESTED, is_nested_deep
from serving.rpc.text import safe_text

PROTOCOLS = ("open-inference", "mlflow", "openai", "json")
LONGEST_TIMEOUT_MS = 600_000.0
MOST_CONCURRENCY = 64
LONGEST_URL = 2000
# A template is sent with each request.
LARGEST_TEMPLATE = 64 << 10
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
    protocol: Literal["open-inference", "mlflow", "openai", "json"]
    timeout_ms: float = 5000.0
    concurrency: int | None = None
    template: Any = None
    output: str = ""
    secret_header: str = ""

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> RemoteConfiguration:
        """Raises ArtifactInvalid, which says which field is wrong, what came and what was due."""
        if (protocol := given.get("protocol", PROTOCOLS[0])) not in PROTOCOLS:
            raise _wrong("protocol", f"one of {', '.join(PROTOCOLS)}", protocol)
        try:
            parsed = msgspec.convert(dict(given), cls)
        except msgspec.ValidationError as error:
            raise ArtifactInvalid(str(error)) from None
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
        if not 1.0 <= self.timeout_ms <= LONGEST_TIMEOUT_MS:
            raise _wrong("timeout_ms", f"1 to {LONGEST_TIMEOUT_MS:g}", self.timeout_ms)
        if self.concurrency is not None and not 1 <= self.concurrency <= MOST_CONCURRENCY:
            raise _wrong("concurrency", f"1 to {MOST_CONCURRENCY}", self.concurrency)
        header = self.secret_header
        if header and (not _TOKEN.fullmatch(header) or header.lower() in _OURS):
            raise _wrong("secret_header", "the name of a header that isn't the request's", header)
        if len(self.output) > LONGEST_URL or not self.output.isprintable():
            raise _wrong("output", f"at most {LONGEST_URL} printable characters", self.output)
        _check_template(self.template, protocol=self.protocol)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a URL that a request needs."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @classmethod
    def of(cls, url: str) -> Place:
        parts = urlsplit(url)
        return cls(
            scheme=parts.scheme,
            host=(parts.hostname or "").rstrip("."),
            port=parts.port or _DEFAULT_PORTS[parts.scheme],
            path=parts.path or "/",
            query=parts.query,
        )

    @property
    def secure(self) -> bool:
        return self.scheme == "https"

    @property
    def netloc(self) -> str:
        """As the header Host has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def name(self) -> str:
        """Return host and port for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path

    def at(self, path: str) -> Place:
        """Another path of the same server, with the same query."""
        return msgspec.structs.replace(self, path=path)


def check_secret(secret: str) -> None:
    """Raise ArtifactInvalid, which doesn't quote it, for what no header can hold."""
    if not secret.isascii() or not secret.isprintable() or secret != secret.strip():
        raise ArtifactInvalid("secret: Expected printable ASCII without spaces around it.")
    if len(secret) > 8192:
        raise ArtifactInvalid("secret: Expected at most 8192 characters.")


def strings_in(value: Any) -> Iterator[str]:
    """Yield every string that stands as a value, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings_in(inner)


def keys_in(value: Any) -> Iterator[str]:
    """Yield every key of an object, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_in(inner)


def _check_url(url: str) -> None:
    expected = "an http or https URL with a host"
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= LONGEST_URL
    if not plain or "\\" in url:
        raise _wrong("url", f"{expected}, percent-encoded", _without_credentials(url))
    try:
        parts = urlsplit(url)
        fine = parts.scheme in _DEFAULT_PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise _wrong("url", expected, _without_credentials(url)) from None
    if "@" in parts.netloc:
        raise ArtifactInvalid("url: Expected no credentials in it; they belong into secret.")
    if not fine:
        raise _wrong("url", expected, url)
    if parts.fragment or url.endswith("#"):
        raise _wrong("url", "no fragment (#…)", _shown(parts))


def _without_credentials(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//…@", url)


def _shown(parts: SplitResult) -> str:
    return parts._replace(query="").geturl()


def _check_template(template: Any, *, protocol: str) -> None:
    if is_nested_deep(template):
        raise ArtifactInvalid(f"template: Expected at most {MOST_NESTED} levels.")
    found = [text for text in strings_in(template) if text in (INPUT, INPUTS)]
    if template is not None and len(msgspec.json.encode(template)) > LARGEST_TEMPLATE:
        raise ArtifactInvalid(f"template: Expected at most {LARGEST_TEMPLATE} bytes.")
    if {INPUT, INPUTS} & set(keys_in(template)):
        raise ArtifactInvalid(f'template: Expected "{INPUT}" as a value, got it as a key.')
    if protocol in ("open-inference", "mlflow"):
        if template is not None:
            raise ArtifactInvalid(f"template: Expected none with the protocol {protocol}.")
    elif protocol == "json" and len(found) != 1:
        raise ArtifactInvalid(
            f'template: Expected a JSON value in which "{INPUTS}" (all inputs of a batch) or '
            f'"{INPUT}" (one request per input) stands once, got it {len(found)} times.'
        )
    elif protocol == "openai":
        if template is not None and not isinstance(template, dict):
            raise ArtifactInvalid('template: Expected an object such as {"model": "name"}.')
        if len(found) > 1:
            raise ArtifactInvalid(f"template: Expected one {INPUT} at most, got {len(found)}.")


def _wrong(field: str, expected: str, got: object) -> ArtifactInvalid:
    return ArtifactInvalid(f"{field}: Expected {expected}, got {safe_text(str(got), most=200)!r}.")
