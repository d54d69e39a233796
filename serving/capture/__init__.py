"""Captured inputs: a sample of an application's queries, for people to review and label."""
