"""The questions of the benchmark."""

from __future__ import annotations

import json

import numpy as np

from benchmarks.linear import body, enlarged
from benchmarks.wrk import COUNTER


def test_an_enlarged_scan_has_784_grey_values() -> None:
    large = enlarged(np.full((2, 64), 16.0))
    assert large.shape == (2, 784)
    assert 0.9 < large.mean() <= 1.0


def test_the_picture_stays_the_same_when_enlarged() -> None:
    left_half = np.tile(np.repeat([16.0, 0.0], 4), 8)
    large = enlarged(left_half[None]).reshape(28, 28)
    assert large[:, :14].min() > 0.9
    assert large[:, 14:].max() < 0.1


def test_a_body_is_json_whose_first_number_is_the_counter() -> None:
    text = body(np.linspace(0.0, 1.0, 784), decimals=5)
    assert text.startswith(f'{{"input":[{COUNTER},')
    assert len(json.loads(text)["input"]) == 784
