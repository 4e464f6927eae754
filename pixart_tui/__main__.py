"""``python -m pixart_tui``."""

import sys

from pixart_tui.cli.main import main

sys.exit(main())
