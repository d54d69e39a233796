"""Checks of uploaded versions."""
