"""Numbers in words."""

import pytest

from console.words import formats


@pytest.mark.parametrize(
    ("worded", "expected"),
    [
        (formats.rate(9310.4), "9,310"),
        (formats.rate(0.44), "0.4"),
        (formats.milliseconds(3.14159), "3.1 ms"),
        (formats.milliseconds(2500.0), "2.5 s"),
        (formats.milliseconds(None), "—"),
        (formats.share(0.0), "0 %"),
        (formats.share(0.0004), "< 0.1 %"),
        (formats.share(0.99999), "> 99.9 %"),
        (formats.share(1.0), "100 %"),
        (formats.count(12_400), "12.4k"),
        (formats.signed(12.44), "+12.4"),
        (formats.signed(-3.06), f"{formats.MINUS}3.1"),
        (formats.signed(-0.04), "0.0"),
        (formats.points_interval((0.9, 0.8, 1.0)), "+80.0 to +100.0"),
        (formats.points_interval(None), ""),
        (formats.mean(1.04), "1"),
        (formats.mean(3.42), "3.4"),
        (formats.mean(120.4), "120"),
        (formats.size(128 << 20), "128 MiB"),
    ],
)
def test_numbers_are_worded_short_and_honestly(worded: str, expected: str) -> None:
    assert worded == expected
