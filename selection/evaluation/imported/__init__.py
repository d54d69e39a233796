"""Decisions that others logged, read from the formats of Vowpal Wabbit and of Open Bandit."""
