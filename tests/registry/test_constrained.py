"""A row's checks cost one query while they hold; each that is broken is named all the same."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.models import Application
from registry.models.applications import LARGEST_SCALE, MOST_CONTEXTS


def test_all_checks_that_hold_are_one_query(digits: Application) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        digits.validate_constraints()
    asked = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    assert len(asked) == 1
    assert str(MOST_CONTEXTS) in asked[0]
    assert str(LARGEST_SCALE) in asked[0]


def test_each_that_is_broken_is_named(digits: Application) -> None:
    digits.loss_scale, digits.max_contexts = 0.0, 0
    with pytest.raises(ValidationError) as caught:
        digits.validate_constraints()
    told = " ".join(caught.value.messages)
    assert "application_loss_scale_in_range" in told
    assert "application_max_contexts_in_range" in told
    assert len(caught.value.messages) == 2


def test_what_concerns_a_field_that_is_left_out_is_passed_over(digits: Application) -> None:
    digits.loss_scale, digits.max_contexts = 0.0, 0
    with pytest.raises(ValidationError) as caught:
        digits.validate_constraints(exclude={"loss_scale"})
    (told,) = caught.value.messages
    assert "application_max_contexts_in_range" in told
    digits.validate_constraints(exclude={"loss_scale", "max_contexts"})


def test_nothing_known_leaves_a_check_undecided_and_others_decided(digits: Application) -> None:
    digits.cache_ttl_s = digits.missing_loss = None
    digits.validate_constraints()
    digits.max_contexts = 0
    with pytest.raises(ValidationError, match="max_contexts"):
        digits.validate_constraints()
