from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "code",
    [
        "import pixart_tui.cli.main",
        "from pixart_tui.cli.main import main; main(['runs'])",
        "from pixart_tui.cli.main import main; main(['profile', '--help'])",
    ],
)
def test_commands_that_only_look_load_no_torch(code: str) -> None:
    check = "import sys; assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", f"{code}\n{check}"], check=True, capture_output=True)
