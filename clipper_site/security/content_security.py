"""The policy of pages: they load and run files of our own, nothing from elsewhere."""

from django.http import HttpRequest, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

HEADER = "Content-Security-Policy"
# The console's theme evaluates the expressions in its attributes (Alpine.js) and has its colours in
# a style element; both are its own, from our templates.
PAGE = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
# Answers for programs run nothing, should a browser show them as a page.
NO_PAGE = "default-src 'none'; frame-ancestors 'none'"


class ContentSecurityPolicy(MiddlewareMixin):
    """Says so with every answer, unless its view has a policy of its own."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        page = response.headers.get("Content-Type", "").startswith("text/html")
        response.headers.setdefault(HEADER, PAGE if page else NO_PAGE)
        return response
