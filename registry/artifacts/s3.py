"""Artifacts in a bucket of S3, or of whatever else speaks its protocol."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from django.core.exceptions import ImproperlyConfigured

MISSING = (
    "Artifacts in S3 need django-storages and boto3: "
    "install them with .venv/bin/python -m pip install -r requirements-s3.txt ({})."
)

try:
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config
    from storages.backends.s3 import S3Storage
except (ImportError, ImproperlyConfigured) as error:
    raise ImproperlyConfigured(MISSING.format(error)) from error


class S3Artifacts(S3Storage):  # type: ignore[misc]  # it has no types
    """Credentials are found as boto3 finds them: AWS_ACCESS_KEY_ID, a profile, a role."""

    def __init__(self, **options: Any) -> None:
        # A server of one's own has a name per bucket only where somebody has set that up.
        style = "path" if options.get("endpoint_url") else "auto"
        # What a transfer holds in memory at most is about their product.
        part_bytes, at_once = 5 << 20, 4
        transfer = TransferConfig(
            multipart_threshold=part_bytes, multipart_chunksize=part_bytes, max_concurrency=at_once
        )
        transfer.max_in_memory_upload_chunks = at_once
        super().__init__(
            client_config=Config(
                connect_timeout=5,
                read_timeout=20,
                retries={"max_attempts": 3, "mode": "standard"},
                s3={"addressing_style": style},
                signature_version="s3v4",
            ),
            transfer_config=transfer,
            # A name is that of one content: whoever writes it again mends it.
            file_overwrite=True,
            default_acl=None,
            **options,
        )

    def read_from(self, name: str, *, offset: int) -> Iterator[bytes]:
        """Send the file from there on, as it comes. Raises what boto3 raises."""
        found = self.bucket.Object(self._normalize_name(name)).get(Range=f"bytes={offset}-")
        with closing(found["Body"]) as body:
            yield from body.iter_chunks(1 << 20)
