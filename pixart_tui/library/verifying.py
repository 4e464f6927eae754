"""Measuring a selection as a whole, and repairing it until it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pixart_tui.domain.requests import VerifyRequest, as_profiled
from pixart_tui.domain.selecting.rules import DEFAULT_RULE, Rule
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.domain.selecting.verification import ImageSet, Verification
from pixart_tui.library.following import carry_out
from pixart_tui.library.profiling import OnEvent, Profiled
from pixart_tui.machine.devices import default_device, default_threads
from pixart_tui.runs.results.profile_files import read_profile_file


@dataclass(frozen=True, slots=True)
class Verified:
    """A verified selection.

    Attributes:
        selection: The layers, repaired where the first choice did not hold.
        verification: The measured losses, and the images that they were measured on.
    """

    selection: Selection
    verification: Verification


def verify(
    profiles: Profiled | str | Path | Sequence[Profiled | str | Path],
    *,
    rule: Rule = DEFAULT_RULE.rule,
    parameter: float = DEFAULT_RULE.usual,
    fused: bool = False,
    prompts: Sequence[str] = (),
    repair_images: int = 8,
    report_images: int = 16,
    rounds: int = 6,
    device: str | None = None,
    output: str | Path | None = None,
    on_event: OnEvent | None = None,
) -> Verified:
    """Measures a selection with all its layers quantized, and repairs it until it holds.

    A worker does the work; it shows up in ``pixart-tui runs``. Raising in ``on_event`` cancels it.

    Args:
        profiles: One, or several of other quant types: a value, or the path of its JSON.
        rule: The rule that selects, and may lose layers in the repair.
        parameter: Its parameter, as ``select`` has it: a share of 0 to 1, percent, or 1 - SSIM.
        fused: Whether layers that read the same rows are decided together.
        prompts: The prompts of the reported loss; empty for some that ship with the package.
        repair_images: How many images to repair on.
        report_images: How many to report on.
        rounds: The most selections that are measured.
        device: ``cpu``, ``cuda`` or ``cuda:N``; a GPU if there is one.
        output: Where the selection's JSON is written; None for nowhere.
        on_event: Called with each event.

    Raises:
        RequestError: The selection cannot be made or repaired as asked.
        WorkError: The work failed.
    """
    given = [profiles] if isinstance(profiles, Profiled | str | Path) else profiles
    with TemporaryDirectory() as folder:
        paths = [_file(x, Path(folder) / f"profile-{n}.json") for n, x in enumerate(given)]
        conditions = read_profile_file(paths[0]).conditions
        seed = max(conditions.seeds) + 2
        request = VerifyRequest(
            **as_profiled(conditions),
            device=device or default_device(),
            threads=default_threads(),
            profiles=tuple(str(path.absolute()) for path in paths),
            rule=rule,
            parameter=parameter,
            fused=fused,
            reporting=ImageSet(prompts=tuple(prompts), seeds=(seed,)) if prompts else None,
            repair_images=repair_images,
            report_images=report_images,
            rounds=rounds,
            output=str(Path(output or Path(folder) / "selected.json").absolute()),
        )
        run = carry_out(request, on_event)
        result = run.snapshot.verification.result
        assert result is not None
        return Verified(result.selection, result.verification)


def _file(given: Profiled | str | Path, path: Path) -> Path:
    return given.save(path) if isinstance(given, Profiled) else Path(given)
