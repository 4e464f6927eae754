"""A stand-in for nexfort, which is not to be had: it records what onediffx asks of it.

It quantizes and compiles nothing; which linears it would quantize it finds as nexfort's filter
``is_allowed_fqn`` does, by name. Everything between it and us is the real onediffx.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

RECORD: Final = "NEXFORT_STAND_IN_RECORD"

_FILES: Final = {
    "nexfort/__init__.py": "",
    "nexfort/recording.py": f"""
import json, os

def record(what, **details):
    with open(os.environ["{RECORD}"], "a") as file:
        file.write(json.dumps({{"what": what, **details}}) + "\\n")
""",
    "nexfort/ao/__init__.py": """
from torch import nn
from nexfort.recording import record

def quantize(module, quant_type=None, filter_fn=None, filter_fn_kwargs=None, **others):
    linears = [n for n, m in module.named_modules() if isinstance(m, nn.Linear)]
    allowed = (filter_fn_kwargs or {}).get("allowed_fqns")
    assert filter_fn in (None, "is_allowed_fqn")
    chosen = [n for n in linears if filter_fn is None or n in allowed]
    record("quantize", quant_type=quant_type, layers=chosen, allowed=allowed, others=sorted(others))
    return module
""",
    "nexfort/utils/__init__.py": "",
    "nexfort/utils/attributes.py": """
def multi_recursive_apply(pipe, parts, function, ignores=(), verbose=False):
    for part in parts:
        if getattr(pipe, part, None) is not None and part not in ignores:
            function(getattr(pipe, part))
""",
    "nexfort/utils/memory_format.py": """
from nexfort.recording import record

def apply_memory_format(module, memory_format):
    record("memory_format", module=type(module).__name__, memory_format=str(memory_format))
    return module
""",
    "nexfort/compilers/__init__.py": """
from torch._dynamo.eval_frame import DisableContext, OptimizedModule
from nexfort.recording import record

def nexfort_compile(module, **options):
    record("compile", module=type(module).__name__, options=options)
    return OptimizedModule(module, DisableContext())
""",
}


class Recorded:
    """What the stand-in was asked, by any process that found it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def of(self, what: str) -> list[dict[str, Any]]:
        """The calls of one kind, in order."""
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        return [call for call in map(json.loads, lines) if call["what"] == what]

    def clear(self) -> None:
        """Forgets everything."""
        self._path.unlink(missing_ok=True)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Makes the stand-in importable, here and in processes that are started from here."""
    for name, content in _FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    record = folder / "nexfort-calls.jsonl"
    monkeypatch.setenv(RECORD, str(record))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    monkeypatch.syspath_prepend(str(folder))
    _forget(monkeypatch)
    return Recorded(record)


def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other test sees these modules, and these tests see no other's."""
    for name in {*(f"{path.removesuffix('.py').replace('/', '.')}" for path in _FILES)}:
        module = name.removesuffix(".__init__")
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
        del sys.modules[module]
