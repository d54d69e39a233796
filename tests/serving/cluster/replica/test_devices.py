"""A replica gets a device of its own where there are enough, and shares one where there are not."""

import pytest

from serving.cluster.replica.replica_process import device_name


@pytest.mark.parametrize(
    ("kind", "slot", "visible", "expected"),
    [
        ("cpu", 3, None, "cpu"),
        ("gpu", 0, None, "cuda:0"),
        ("gpu", 1, "", "cuda:1"),
        ("gpu", 1, "4,5", "cuda:1"),
        ("gpu", 2, "4,5", "cuda:0"),
    ],
)
def test_slots_share_the_visible_devices(
    kind: str, slot: int, visible: str | None, expected: str
) -> None:
    assert device_name(kind, slot=slot, visible=visible) == expected
