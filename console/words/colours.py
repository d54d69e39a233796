"""Colours of versions: each has one for good, in all charts and tables."""

from functools import lru_cache
from hashlib import sha256

from registry.models import ModelVersion

# Light enough on the dark page and dark enough on the light one for 3 : 1, whatever the hue.
LIGHTNESS = (56, 62)
# By this many degrees from one to the next, any number of neighbours are far apart.
GOLDEN_ANGLE = 137.508


@lru_cache(4096)
def version_colour(arm: str) -> str:
    """Return the CSS colour of a version, by its number among all, or by its name if it is gone."""
    model, _, version = arm.partition(":")
    found = ModelVersion.objects.filter(model__name=model, version=version)
    number = found.values_list("pk", flat=True).first()
    if number is None:
        number = int.from_bytes(sha256(arm.encode()).digest()[:2], "big")
    return f"oklch({LIGHTNESS[number % 2]}% 0.14 {number * GOLDEN_ANGLE % 360:.0f})"
