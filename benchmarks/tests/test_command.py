"""The common part of all benchmarks' command lines: their ends, and their refusals."""

import os
import signal

import pytest

from benchmarks import command
from benchmarks.paper.__main__ import STUDY


def test_sigterm_ends_it_as_ctrl_c_does(capsys):
    work = lambda: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    assert command.run("bench", work) == command.INTERRUPTED
    assert "bench: interrupted" in capsys.readouterr().err


def test_an_unknown_figure_is_refused_with_those_there_are(capsys):
    with pytest.raises(SystemExit):
        STUDY.main(["fig2"])
    assert "expected fig4, fig6" in capsys.readouterr().err


def test_what_was_never_measured_cannot_be_drawn(tmp_path, capsys):
    assert STUDY.main(["fig4", "--redraw", "--results", str(tmp_path)]) == 1
    assert "fig4 was not measured yet" in capsys.readouterr().err
