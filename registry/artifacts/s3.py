"""Artifacts in a bucket of S3, or of whatever else speaks its protocol."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from botocore.config import Config
from storages.backends.s3 import S3Storage


class S3Artifacts(S3Storage):  # type: ignore[misc]  # it has no types
    """django-storages' S3, which waits for a bucket for less long and sends a file as it comes."""

    def __init__(self, **options: Any) -> None:
        # A server of one's own has a name per bucket only where somebody has set that up.
        style = "path" if options.get("endpoint_url") else "auto"
        config = Config(
            connect_timeout=5,
            read_timeout=20,
            retries={"max_attempts": 3, "mode": "standard"},
            s3={"addressing_style": style},
        )
        super().__init__(client_config=config, **options)

    def read_from(self, name: str, *, offset: int) -> Iterator[bytes]:
        """Send the file from there on, as it comes. Raises what boto3 raises."""
        found = self.bucket.Object(self._normalize_name(name)).get(Range=f"bytes={offset}-")
        with closing(found["Body"]) as body:
            yield from body.iter_chunks(1 << 20)
