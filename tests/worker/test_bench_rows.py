from __future__ import annotations

import pytest

from pixart_tui.domain.benchmark import BenchRow, RowStatus
from pixart_tui.domain.provenance import Machine
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.worker.bench_messages import MESSAGE, Described, FiguresFound, QuantizationFound
from pixart_tui.worker.bench_rows import BASELINE, is_kept, plan_rows

_MACHINE = Machine(device="cuda", device_name="x", cpu_cores=1, memory_bytes=1, os="Linux")


def _described(execution: str | None) -> Described:
    found = {"layers": ("a", "b"), "execution": execution, "note": "because"}
    return Described(
        machine=_MACHINE,
        versions={"torch": "2"},
        model_fingerprint="sha256:0",
        prompt="robot",
        guidance_scale=2.0,
        steps=20,
        height=128,
        width=128,
        dtype="bfloat16",
        compiler_configs={"compile": "{}"},
        quantization=QuantizationFound.model_validate(found) if execution else None,
    )


def _labels(request: BenchRequest, execution: str | None) -> list[str]:
    return [row.label for row in plan_rows(request, _described(execution)).values()]


def test_the_baseline_is_always_there_and_first() -> None:
    assert _labels(BenchRequest(compilers=("compile", "none")), None) == ["none", "compile"]
    assert next(iter(plan_rows(BenchRequest(), _described(None)))) == BASELINE


def test_each_compiler_gets_a_quantized_row() -> None:
    request = BenchRequest(compilers=("none", "compile"), quantize=True, quant_type="int8_dynamic")
    expected = ["none", "compile", "none+int8_dynamic", "compile+int8_dynamic"]
    assert _labels(request, "real") == expected


def test_what_is_simulated_is_done_once() -> None:
    request = BenchRequest(compilers=("none", "compile"), quantize=True, quant_type="int8_dynamic")
    assert _labels(request, "simulated") == ["none", "compile", "none+int8_dynamic"]


def _row(**changes: object) -> BenchRow:
    planned = next(iter(plan_rows(BenchRequest(), _described(None)).values()))
    return planned.model_copy(update=changes)


def test_a_row_that_is_done_under_the_same_conditions_is_kept() -> None:
    assert is_kept(_row(), _row(status=RowStatus.DONE, ssim=1.0, peak_bytes=7))


@pytest.mark.parametrize(
    "before",
    [
        None,
        _row(status=RowStatus.FAILED),
        _row(status=RowStatus.RUNNING),
        _row(status=RowStatus.DONE, model_fingerprint="sha256:1"),
        _row(status=RowStatus.DONE, threads=7),
    ],
)
def test_any_other_row_is_measured_again(before: BenchRow | None) -> None:
    assert not is_kept(_row(), before)


def test_a_message_tells_what_is_unknown_from_what_is_none() -> None:
    sent = FiguresFound(type="figures", ssim=1.0, psnr_db=None)
    received = MESSAGE.validate_json(sent.model_dump_json(exclude_unset=True))
    assert isinstance(received, FiguresFound)
    assert received.known() == {"ssim": 1.0, "psnr_db": None}
