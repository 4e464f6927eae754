"""``python -m pixart_tui.worker RUN_DIRECTORY``: works on one run until it ends."""

from __future__ import annotations

import sys
from pathlib import Path

from pixart_tui.worker.attempt import work_on
from pixart_tui.worker.log import print_to_log

if __name__ == "__main__":
    print_to_log()
    sys.exit(work_on(Path(sys.argv[1])))
