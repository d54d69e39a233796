"""`make weigh`: counts of the working tree, beside those of revisions, and of a traced query."""

import argparse
import os

from scripts.weigh import counts

LISTS = {
    "folders": counts.large_folders,
    "names": counts.repeated_names,
    "openings": counts.openings,
}


def main() -> None:
    """Print a line for each count, or what one count is made of."""
    parser = argparse.ArgumentParser(prog="python -m scripts.weigh", description=main.__doc__)
    parser.add_argument("revisions", nargs="*", help="commits to count beside the working tree")
    parser.add_argument("--list", choices=LISTS, help="print what this count is made of instead")
    arguments = parser.parse_args()
    if arguments.list:
        print(*LISTS[arguments.list](counts.working_tree()), sep="\n")
        return
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clipper_site.settings")
    os.environ.setdefault("DJANGO_SECRET_KEY", "of nobody")
    trees = [*map(counts.revision, arguments.revisions), counts.working_tree()]
    for name, count in counts.COUNTS.items():
        print(f"{name:<36}", *(f"{count(tree):>8,}" for tree in trees), flush=True)
    from scripts.weigh import traced  # it needs the settings

    for trace in (traced.query, traced.label):
        found = trace()
        for what, seen in (("modules", len(found.modules)), ("crossings", found.crossings)):
            print(f"{f'{what} of a warm {trace.__name__}':<36}", f"{seen:>8}", flush=True)


if __name__ == "__main__":
    main()
