"""Predictions that nobody says anything about, which an application may count as a reward."""
