"""Refusals of versions: a table, and the tests that hold it."""
