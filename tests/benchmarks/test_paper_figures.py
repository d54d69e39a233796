"""One figure from end to end on tiny sizes, and the command line around all of them."""

from __future__ import annotations

import dataclasses
import json

import pytest

from benchmarks.figures import records
from benchmarks.paper import fig3, fig5, models
from benchmarks.paper.__main__ import EXPERIMENTS, main
from benchmarks.paper.models import Zoo
from benchmarks.paper.session import Session

TINY_WAITS = fig5.Plan(warm_up=0.1, seconds=0.2, waits_ms=(0.0, 2.0))
TINY_PROFILE = fig3.Plan(seconds=0.02, fewest=4, most=4, names=(models.NO_OP,), largest=8)


@pytest.fixture
def session(tmp_path_factory):
    # Short: the path of a Unix socket has to fit into 107 bytes.
    folder = tmp_path_factory.mktemp("p")
    return Session(folder=folder, zoo=Zoo(folder / "zoo", say=print), quick=True, say=print)


def test_a_figure_is_measured_written_down_judged_and_drawn(session, tmp_path):
    tiny = dataclasses.replace(
        fig5.FIG5, measure=lambda session: fig5.waits(session, plan=TINY_WAITS)
    )
    records.measure(tiny, session=session, results=tmp_path)
    claims = records.report(tiny, results=tmp_path)
    stored = json.loads((tmp_path / "fig5.json").read_text())
    assert [claim["what"] for claim in stored["claims"]] == [claim.what for claim in claims]
    assert len(stored["result"]["waited"]) == 2 * (len(TINY_WAITS.waits_ms) + 1)
    assert all(one["rate"] > 0 for one in stored["result"]["waited"])
    assert (tmp_path / "fig5.png").read_bytes().startswith(b"\x89PNG")


def test_a_real_container_is_profiled_by_batch_size(session):
    (profile,) = fig3.profiles(session, plan=TINY_PROFILE).profiles
    assert [point.size for point in profile.points] == [1, 2, 4, 8]
    assert all(seconds > 0 for point in profile.points for seconds in point.seconds)


def test_pictures_are_as_large_as_the_papers_and_always_the_same():
    first = models.questions(3)
    assert len(json.loads(first[0])) == models.FEATURES
    models.questions.cache_clear()
    assert models.questions(3) == first


def test_an_unknown_figure_is_refused_with_those_there_are(capsys):
    with pytest.raises(SystemExit):
        main(["fig2"])
    assert f"expected {', '.join(EXPERIMENTS)}; got fig2" in capsys.readouterr().err


def test_what_was_never_measured_cannot_be_drawn(tmp_path, capsys):
    assert main(["fig3", "--redraw", "--results", str(tmp_path)]) == 1
    assert "fig3 was not measured yet" in capsys.readouterr().err
