"""The scans that experiments vary: real ones, and none of those asked about learned before."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.paper.pictures import Scans, halves, noisy, slanted, varied


def generator() -> np.random.Generator:
    return np.random.default_rng(1)


def few() -> Scans:
    return halves(1)[0].some(20, generator=generator())


def test_the_halves_share_no_scan_and_have_as_many_of_each_digit():
    first, second = halves(3)
    assert len(first) + len(second) == 1797
    both = {image.tobytes() for image in first.images} & {i.tobytes() for i in second.images}
    assert not both
    counts = [np.bincount(half.labels) for half in (first, second)]
    assert np.abs(counts[0] - counts[1]).max() <= 1


def test_another_seed_makes_other_halves():
    assert not np.array_equal(halves(1)[0].images, halves(2)[0].images)


def test_drawn_scans_are_all_different_while_there_are_enough():
    scans = halves(1)[0]
    drawn = scans.some(len(scans), generator=generator())
    assert sorted(drawn.labels) == sorted(scans.labels)
    assert len(scans.some(2 * len(scans), generator=generator())) == 2 * len(scans)


def test_a_variation_keeps_the_digits_and_the_range_of_grey():
    scans = few()
    other = varied(scans, noise=4.0, shift=1, generator=generator())
    assert other.images.shape == scans.images.shape
    assert np.array_equal(other.labels, scans.labels)
    assert other.images.min() >= 0.0
    assert other.images.max() <= 16.0
    assert not np.array_equal(other.images, scans.images)


def test_moving_alone_loses_no_ink():
    moved = varied(few(), noise=0.0, shift=2, generator=generator())
    assert moved.images.sum(axis=1) == pytest.approx(few().images.sum(axis=1))


def test_no_noise_changes_nothing():
    assert np.array_equal(noisy(few().images, noise=0.0, generator=generator()), few().images)


def test_turning_by_nothing_changes_nothing():
    assert slanted(few().images, degrees=0.0, shear=0.0) == pytest.approx(few().images)


def test_a_quarter_turn_turns():
    corner = np.zeros((1, 64))
    corner[0, 0] = 16.0
    turned = slanted(corner, degrees=90.0, shear=0.0).reshape(8, 8)
    assert turned[0, 0] == pytest.approx(0.0, abs=1e-6)
    assert {turned[0, 7].round(6), turned[7, 0].round(6)} == {0.0, 16.0}
