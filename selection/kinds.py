"""Kinds of feedback: on a query, on an input, or the silence after a query."""

from typing import Literal

Kind = Literal["receipt", "input", "default"]
# A query, by its receipt.
RECEIPT: Kind = "receipt"
# An input that came with its label.
INPUT: Kind = "input"
# A query that nobody said anything about.
DEFAULT: Kind = "default"

# The metric of a label that a person gave to a captured query: the chance of that to be captured.
SAMPLING_CHANCE = "sampling_chance"
