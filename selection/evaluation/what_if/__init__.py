"""Estimates of other policies, or single arms, on stored feedback."""
