"""supervisord has the time to stop each program in turn, as long as each may take."""

from __future__ import annotations

from configparser import RawConfigParser

from clipper_site.stack.supervision import CONFIG, STOP_SECONDS


def test_the_launcher_waits_as_long_as_all_programs_may_take_to_stop() -> None:
    programs = RawConfigParser(inline_comment_prefixes=";")
    programs.read(CONFIG)
    waits = [
        programs.getint(section, "stopwaitsecs")
        for section in programs.sections()
        if section.startswith("program:")
    ]
    assert len(waits) == 8
    assert sum(waits) < STOP_SECONDS
