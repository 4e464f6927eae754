"""Breaks things on purpose, and counts what is lost by it.

    python -m benchmarks.chaos [--part NAME]... [--scale X] [--minutes M] [--output FILE]

A try has a number within its part, and is seeded by campaign, part and number. Each try is a line
of ``PLACE/tries.jsonl``; those that stand there are not tried again, so that a long campaign is
done in pieces: say ``--minutes 9`` as often as it takes. ``--part NAME --only N --keep`` tries one
again and leaves its files. Needs Linux and gcc; as root, other users are tried too.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.chaos.findings import read
from benchmarks.chaos.shim import preload

ROOT: Final = Path(__file__).parents[2]
RESULT: Final = Path("benchmarks/results/reliability/chaos.json")
_TRY_LIMIT_S: Final = 900.0
_ENVIRONMENT: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "PYTHONPATH": str(ROOT),
    "TERM": "xterm-256color",
    "COLUMNS": "100",
}


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--part", action="append", metavar="NAME", help="may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="this part of all tries")
    parser.add_argument(
        "--short", action="store_true", help="a few tries of one kind of run, in a minute"
    )
    parser.add_argument("--only", type=int, metavar="N", help="this try of one part")
    parser.add_argument("--minutes", type=float, help="begin nothing after so long")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--place", type=Path, default=ROOT / "build" / "chaos")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--keep", action="store_true", help="leave the files of each try")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Does the tries that are missing, prints the table and writes it."""
    arguments = _arguments(given)
    place: Path = arguments.place.resolve()
    os.environ.update(_ENVIRONMENT)
    preload(place)
    from benchmarks.chaos.campaign import SHORT, Campaign
    from benchmarks.chaos.summary import print_table, write

    short, parts = arguments.short, arguments.part
    campaign = Campaign.prepare(
        place,
        arguments.seed,
        parts=SHORT if short and parts is None else parts,
        scale=SHORT if short else arguments.scale,
    )
    verdicts = read(campaign.log)
    if arguments.only is not None:
        wanted = [(part, arguments.only) for part in arguments.part]
    else:
        known = {(verdict.part, verdict.number) for verdict in verdicts}
        wanted = [one for one in campaign.wanted if one not in known]
    done = campaign.work(wanted, arguments.jobs, arguments.minutes, keep=arguments.keep)
    verdicts = read(campaign.log)
    print_table(campaign, verdicts)
    write(arguments.output, campaign, verdicts, sys.argv[1:])
    if done < len(wanted):
        print(f"{len(wanted) - done} tries are left; say the same again", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
