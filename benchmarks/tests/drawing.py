"""The steps after the measurement, common to every experiment's result."""

from pathlib import Path

from benchmarks.experiment import Experiment, Session
from benchmarks.frames import Frame, Records
from benchmarks.study import published, report, stored, write
from benchmarks.telling import Target
from clipper_site import ROOT


def told(experiment: Experiment, records: Records, folder: Path) -> list[Target]:
    """Write it down, read it again, show it, draw it and publish it; return what is judged."""
    session = Session(folder=folder, results=folder)
    write(experiment, records, session=session, busy=0.0)
    frame: Frame = stored(experiment, results=folder)
    judged = report(experiment, frame, folder)
    assert (folder / f"{experiment.name}.png").read_bytes().startswith(b"\x89PNG")
    for page in (ROOT / "docs/results").glob("*.md"):
        if f"<!-- {experiment.name} -->" in (text := page.read_text()):
            new = published(text, experiment, frame)
            missed = [target.what for target in judged if not target.holds]
            assert all(what in new for what in missed)
            assert new.count("<!-- /") == text.count("<!-- /")
            return judged
    raise AssertionError(f"no page has a mark for {experiment.name}")
