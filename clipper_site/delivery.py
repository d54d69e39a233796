"""Pages and their files on the way to a browser: named by their content, and compressed."""

from django.http import HttpRequest, HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from whitenoise.storage import CompressedManifestStaticFilesStorage

TEXT = ("text/html", "text/css", "text/javascript", "application/json", "image/svg+xml")


class HashedFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # untyped
    """Static files that browsers keep for good; one that nobody collected has its plain name."""

    # Style sheets name other files. Maps to sources, which scripts name, aren't collected.
    patterns = (("*.css", CompressedManifestStaticFilesStorage.patterns[0][1][:2]),)

    def stored_name(self, name: str) -> str:
        return str(self.hashed_files.get(self.hash_key(self.clean_name(name)), name))


class CompressedText(GZipMiddleware):
    """Django's own, with random bytes against BREACH; leaves streams and downloads as they are."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        if response.streaming or not response.headers.get("Content-Type", "").startswith(TEXT):
            return response
        return super().process_response(request, response)
