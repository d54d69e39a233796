"""Progress of a release, which follows from its replicas alone."""

from typing import Any

import pytest

from serving.cluster.control.releases.open_releases import Progress


def progress(**changes: Any) -> Progress:
    fields: dict[str, Any] = {
        "wanted": 2,
        "ready": 0,
        "webs": 1,
        "present": 0,
        "failures": 0,
        "age_s": 1.0,
        "load_error": "",
    }
    fields |= changes
    # Where a test is not about reaching them, those that are ready have been.
    return Progress(**({"reached": fields["ready"]} | fields))


def test_a_release_goes_live_with_all_its_replicas() -> None:
    assert progress(ready=2, present=2).is_live
    assert not progress(ready=1, present=2).is_live


def test_one_replica_is_enough_where_the_others_take_long() -> None:
    assert progress(ready=1, present=1, age_s=21.0).is_live


def test_a_version_scaled_to_nothing_goes_live_with_one() -> None:
    assert not progress(wanted=0, ready=0, age_s=30.0).is_live
    assert progress(wanted=0, ready=1).is_live


def test_a_release_whose_replicas_fail_three_times_is_given_up_with_their_error() -> None:
    assert progress(failures=2, load_error="no weights").fault == ""
    assert progress(failures=3, load_error="no weights").fault == "no weights"
    assert progress(failures=3).fault == "its replicas failed 3 times"


FULL = "no free slot on queue replicas.cpu (7 of 7 in use by tree:1 x 7)"


def test_a_release_that_never_got_a_slot_says_so() -> None:
    fault = progress(age_s=121.0, no_slot=FULL, remedy="Do this.").fault
    assert fault == f"{FULL} for 120 s. Do this."


def test_a_replica_that_loads_has_the_time_that_its_version_gives_it() -> None:
    slow = {"present": 1, "load_timeout_s": 300.0, "age_s": 290.0}
    assert progress(loading_s=289.0, **slow).fault == ""
    assert progress(loading_s=311.0, **slow).fault == "no replica has loaded within 300 s"


def test_a_replica_that_fetches_its_artifact_has_the_time_that_this_takes() -> None:
    fetching = progress(present=1, age_s=900.0, preparing="fetching its artifact: 1 of 2 MB")
    assert fetching.fault == ""
    assert fetching.text == "0 of 2 replicas ready, fetching its artifact: 1 of 2 MB"
    assert progress(preparing="fetching", failures=3, load_error="no room").fault == "no room"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"present": 1}, "0 of 2 replicas ready"),
        ({"ready": 1, "present": 2}, "1 of 2 replicas ready"),
        ({"present": 1, "loading_s": 4.0}, "0 of 2 replicas ready"),
        ({"present": 1, "loading_s": 13.0}, "0 of 2 replicas ready, loading for 10 s"),
        (
            {"failed": "failed twice on app1: no weights"},
            "0 of 2 replicas ready, failed twice on app1: no weights",
        ),
        ({"no_slot": FULL}, FULL),
        ({"ready": 1, "present": 1, "no_slot": FULL}, f"1 of 2 replicas ready, {FULL}"),
    ],
)
def test_a_release_says_what_it_waits_for(changes: dict[str, Any], expected: str) -> None:
    assert progress(**changes).text == expected
