"""`make weigh`: counts of the working tree, beside those of revisions, and of a traced query."""

import os
import sys

from scripts.weigh import counts

LISTS = {
    "folders": counts.large_folders,
    "names": counts.repeated_names,
    "openings": counts.openings,
}


def main(arguments: list[str]) -> None:
    """Print a line for each count; `--list NAME` prints what a count is made of instead."""
    if arguments[:1] == ["--list"]:
        print(*LISTS[arguments[1]](counts.working_tree()), sep="\n")
        return
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clipper_site.settings")
    os.environ.setdefault("DJANGO_SECRET_KEY", "of nobody")
    trees = [*map(counts.revision, arguments), counts.working_tree()]
    for name, count in counts.COUNTS.items():
        print(f"{name:<36}", *(f"{count(tree):>8,}" for tree in trees), flush=True)
    from scripts.weigh import traced  # it needs the settings

    for trace in (traced.query, traced.label):
        found = trace()
        for what, seen in (("modules", len(found.modules)), ("crossings", found.crossings)):
            print(f"{f'{what} of a warm {trace.__name__}':<36}", f"{seen:>8}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
