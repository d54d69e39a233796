"""Inputs: what a version takes, and raw JSON parsed into it."""
