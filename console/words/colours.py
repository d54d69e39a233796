"""Colours of versions: each has one by its name, for good, in all charts and tables."""

from hashlib import sha256

# Light enough on the dark page and dark enough on the light one for 3 : 1, whatever the hue.
LIGHTNESS = (56, 62)


def version_colour(arm: str) -> str:
    """Return the CSS colour of a version."""
    digest = sha256(arm.encode()).digest()
    hue = int.from_bytes(digest[:2], "big") % 360
    return f"oklch({LIGHTNESS[digest[2] % 2]}% 0.14 {hue})"
