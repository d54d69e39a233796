"""Open releases, brought forward until they are live or have failed."""
