"""One figure from end to end on tiny sizes, and the command line around all of them."""

from __future__ import annotations

import argparse
import dataclasses
import json

import pytest

from benchmarks.experiment import Session
from benchmarks.paper import fig3, fig5, models
from benchmarks.paper.__main__ import EXPERIMENTS, MARK, STUDY, publish
from benchmarks.paper.fig7 import FIG7
from benchmarks.study import report, stored, write
from benchmarks.tables import found_at, markdown, read, replaced
from benchmarks.tests.test_paper_charts import committee
from scripts.stack.layout import ROOT

HEADER = ("figure", "what", "wanted", "seen", "the paper", "")
TINY_WAITS = fig5.Plan(warm_up=0.1, seconds=0.2, waits_ms=(0.0, 2.0))
TINY_PROFILE = fig3.Plan(seconds=0.02, fewest=4, most=4, names=(models.NO_OP,), largest=8)


@pytest.fixture
def session(tmp_path_factory):
    # Short: the path of a Unix socket has to fit into 107 bytes.
    folder = tmp_path_factory.mktemp("p")
    options = argparse.Namespace(quick=True)
    return Session(folder=folder, results=folder / "results", options=options, say=print)


def test_a_figure_is_measured_written_down_judged_and_drawn(session):
    tiny = dataclasses.replace(
        fig5.FIG5, measure=lambda session: fig5.waits(session, plan=TINY_WAITS)
    )
    write(tiny, tiny.measure(session), session=session, busy=0.0, seconds=1.0)
    judged = report(tiny, stored(tiny, results=session.results), session.results)
    written = json.loads((session.results / "fig5.json").read_text())
    assert [target["what"] for target in written["targets"]] == [one.what for one in judged]
    assert {target["figure"] for target in written["targets"]} == {"fig5"}
    assert len(written["result"]["waited"]) == 2 * (len(TINY_WAITS.waits_ms) + 1)
    assert all(one["rate"] > 0 for one in written["result"]["waited"])
    assert (session.results / "fig5.png").read_bytes().startswith(b"\x89PNG")


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
        STUDY.main(["fig2"])
    assert f"expected {', '.join(STUDY.names)}; got fig2" in capsys.readouterr().err


def test_what_was_never_measured_cannot_be_drawn(tmp_path, capsys):
    assert STUDY.main(["fig3", "--redraw", "--results", str(tmp_path)]) == 1
    assert "fig3 was not measured yet" in capsys.readouterr().err


def test_a_figure_published_alone_leaves_the_rows_of_others_as_they_are():
    page = (ROOT / "docs/results/paper.md").read_text()
    new = publish(page, [(FIG7, committee())])
    before, after = (
        [line for line in text.splitlines() if "fig7" not in line] for text in (page, new)
    )
    assert before == after
    assert new.count("| fig7 |") == page.count("| fig7 |") == 5


def test_figures_have_their_place_in_the_table_whenever_they_were_measured():
    page = (ROOT / "docs/results/paper.md").read_text()
    shuffled = replaced(
        page, mark=MARK, text=markdown([HEADER, *read(found_at(page, mark=MARK))[::-1]])
    )
    names = [row[0] for row in read(found_at(publish(shuffled, []), mark=MARK))]
    assert names == sorted(names, key=[experiment.name for experiment in EXPERIMENTS].index)
