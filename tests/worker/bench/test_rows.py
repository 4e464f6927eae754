from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import pytest

from pixart_tui.domain.benchmarks.rows import BenchRow, ColdCall, Figures, RowStatus
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files.mixed_file import FORMAT
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION
from pixart_tui.domain.layers.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.provenance import Machine
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.worker.bench.messages import (
    Described,
    ExecutionFound,
    FiguresFound,
    Purpose,
    parse_message,
)
from pixart_tui.worker.bench.rows import (
    BASELINE,
    NO_COLD_NOTE,
    SCATTERED_FILE,
    is_kept,
    plan_rows,
    purposes,
    quant_types,
    wanted_choice,
)
from tests.samples import layer

_MACHINE = Machine(device="cuda", device_name="x", cpu_cores=1, memory_bytes=1, os="Linux")


_LAYERS = tuple(layer(f"transformer_blocks.{i}.ff.net.2", rows=8192) for i in range(20))


def _described(
    execution: str | None, types: tuple[str, ...] = ("int8_dynamic",), machine: Machine = _MACHINE
) -> Described:
    found = ExecutionFound.model_validate({"execution": execution or "real", "note": "because"})
    return Described(
        machine=machine,
        versions={"torch": "2"},
        model_fingerprint="sha256:0",
        prompt="robot",
        prompts=3,
        guidance_scale=2.0,
        steps=20,
        height=128,
        width=128,
        dtype="bfloat16",
        compiler_configs={"compile": "{}"},
        layers=(*_LAYERS, layer("odd", size=12)) if execution else (),
        executions=dict.fromkeys(types, found) if execution else {},
    )


def _labels(request: BenchRequest, execution: str | None) -> list[str]:
    return [row.label for row in plan_rows(request, _described(execution), Path()).values()]


def test_the_baseline_is_always_there_and_first() -> None:
    assert _labels(BenchRequest(compilers=("compile", "none")), None) == ["none", "compile"]
    assert next(iter(plan_rows(BenchRequest(), _described(None), Path()))) == BASELINE


def test_each_compiler_gets_a_quantized_row() -> None:
    request = BenchRequest(compilers=("none", "compile"), quantize=True, quant_type="int8_dynamic")
    expected = ["none", "compile", "none+int8_dynamic", "compile+int8_dynamic"]
    assert _labels(request, "real") == expected


def test_what_is_simulated_is_done_once() -> None:
    request = BenchRequest(compilers=("none", "compile"), quantize=True, quant_type="int8_dynamic")
    assert _labels(request, "simulated") == ["none", "compile", "none+int8_dynamic"]


def test_a_quantized_row_has_the_layers_that_the_kernels_take_and_says_what_it_skipped() -> None:
    request = BenchRequest(compilers=("none",), quantize=True, quant_type="int8_dynamic")
    case, row = list(plan_rows(request, _described("real"), Path()).items())[1]
    assert tuple(case.deployment.choice.assignments) == tuple(x.fqn for x in _LAYERS)
    assert (row.case.quantized_layers, row.case.execution) == (20, "real")
    assert row.execution_note.startswith("because; 1 layers skipped (odd: ")


def test_rows_that_quantize_keep_the_steps_that_are_asked_for() -> None:
    kept = KeptSteps(first=1, last=2)
    request = BenchRequest(quantize=True, quant_type="int8_dynamic", kept_steps=kept)
    rows = list(plan_rows(request, _described("real"), Path()).values())
    steps = {row.label: row.case.kept_steps for row in rows}
    ending = "+int8_dynamic+keep-first-1+keep-last-2"
    expected = {"none": NO_STEPS, "compile": NO_STEPS}
    assert steps == expected | {f"none{ending}": kept, f"compile{ending}": kept}
    done = rows[-1].replace(status=RowStatus.DONE)
    assert is_kept(rows[-1], done)
    assert not is_kept(rows[-1], done.replace(case=done.case.replace(kept_steps=KeptSteps(last=1))))


def test_steps_of_the_model_must_be_left_to_quantize() -> None:
    request = BenchRequest(
        quantize=True, quant_type="int8_dynamic", kept_steps=KeptSteps(first=10, last=10)
    )
    with pytest.raises(RequestError, match="leaves none"):
        plan_rows(request, _described("real"), Path())


def test_a_files_layers_must_be_the_models(tmp_path: Path) -> None:
    file = tmp_path / "layers.json"
    file.write_text(json.dumps({"no.such.layer": {"ssim": 1.0}}))
    request = BenchRequest(
        quantize=True,
        quant_type="int8_dynamic",
        quant_submodules_config_path=str(file),
        top_percentage=100,
    )
    with pytest.raises(RequestError, match="does not have"):
        plan_rows(request, _described("real"), tmp_path)


def test_each_row_of_a_matrix_has_a_quantization_of_its_own(tmp_path: Path) -> None:
    request = BenchRequest(matrix="onediff")
    types = quant_types(request)
    assert types == (
        "fp8_e4m3_e4m3_dynamic_per_tensor",
        "fp8_e4m3_e4m3_dynamic",
        "int8_dynamic",
    )
    planned = plan_rows(request, _described("real", types), tmp_path)
    rows = {row.label: row for row in planned.values()}
    assert rows["torch-fp8"].case.quant_type == "fp8_e4m3_e4m3_dynamic"
    assert rows["torch-int8"].case.quant_type == "int8_dynamic"
    assert rows["torch"].case.quant_type is None
    assert (
        rows["torch-fp8"].case.quantized_layers,
        rows["torch-fp8-90"].case.quantized_layers,
    ) == (20, 18)
    assert rows["torch-fp8-attention"].case.attention.endswith("fp8 self-attention")
    assert rows["torch-fp8-memory"].case.memory == "budget-6GiB"
    torch_config = next(c for c, r in planned.items() if r.label == "torch").deployment
    assert json.loads(torch_config.compiler_config)["memory_format"] == "channels_last"
    assert rows["compile"].case.compiler_config == "{}"
    assert len(json.loads((tmp_path / SCATTERED_FILE).read_text())) == 20


def test_a_part_of_a_matrix_without_quantization_needs_no_layers(tmp_path: Path) -> None:
    request = BenchRequest(matrix="onediff", rows=("compile",))
    assert quant_types(request) == ()
    rows = plan_rows(request, _described(None), tmp_path)
    assert [row.label for row in rows.values()] == ["none", "compile"]


def test_the_processes_of_a_row() -> None:
    compiled, simulated = _row(compiler="compile"), _row(execution="simulated")
    assert purposes(_row()) == (Purpose.RUN,)
    assert purposes(compiled) == (Purpose.COMPILE, Purpose.CACHE)
    assert purposes(compiled, cold=False) == (Purpose.WARM,)
    assert purposes(simulated, cold=False) == (Purpose.QUALITY,)


def test_a_row_says_what_of_its_warm_up_was_not_measured() -> None:
    rows = plan_rows(BenchRequest(cold=False), _described(None), Path())
    assert [row.case.warmup_note for row in rows.values()] == ["", NO_COLD_NOTE]


def _row(**changes: object) -> BenchRow:
    planned = next(iter(plan_rows(BenchRequest(), _described(None), Path()).values()))
    return BenchRow.model_validate(planned.model_dump() | changes)


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


def test_figures_come_back_as_they_were_sent() -> None:
    cold = ColdCall(elapsed_s=9.0, iterations_per_s=None)
    sent = FiguresFound(figures=Figures(ssim=1.0, cold_calls=(cold,)))
    assert parse_message(sent.model_dump_json().encode()) == sent


def test_nexfort_is_handed_the_users_file_and_none_of_our_rules(tmp_path: Path) -> None:
    """The layer that our kernels cannot run is nexfort's to refuse."""
    file = tmp_path / "layers.json"
    file.write_text(json.dumps({x.fqn: {"ssim": 1.0} for x in (layer("odd"), *_LAYERS)}))
    request = BenchRequest(
        compilers=("nexfort",),
        compiler_config='{"mode": "jit"}',
        quantize=True,
        quant_type="int8_dynamic",
        quant_submodules_config_path=str(file),
        top_percentage=50,
    )
    for execution in ("real", "simulated"):
        planned = plan_rows(request, _described(execution), tmp_path)
        case, row = next((c, r) for c, r in planned.items() if r.label == "nexfort+int8_dynamic")
        assert case.deployment.layer_file == str(file)
        assert case.deployment.top_percentage == 50
        assert next(iter(case.deployment.choice.assignments)) == "odd"
        assert case.deployment.compiler_config == '{"mode": "jit"}'
        assert (row.case.quantized_layers, row.case.execution) == (10, "real")
        assert row.execution_note == "quantized by nexfort"


def test_a_file_of_another_model_is_refused_for_nexfort_too(tmp_path: Path) -> None:
    file = tmp_path / "layers.json"
    file.write_text(json.dumps({"no.such.layer": {"ssim": 1.0}}))
    request = BenchRequest(
        compilers=("nexfort",),
        quantize=True,
        quant_type="int8_dynamic",
        quant_submodules_config_path=str(file),
        top_percentage=100,
    )
    with pytest.raises(RequestError, match="does not have"):
        plan_rows(request, _described("simulated"), tmp_path)


_FP8 = "fp8_e4m3_e4m3_dynamic"
_MIXED_TYPES = ("int8_dynamic", "int8_weightonly", _FP8)


_SHARING = tuple(
    layer(f"transformer_blocks.0.attn1.to_{name}", rows=8192) for name in ("q", "k", "v")
)
"""They read the same rows."""


def _mixed_request(
    folder: Path, chosen: Sequence[Layer] = _LAYERS, **changes: object
) -> BenchRequest:
    file = folder / "mixed.selected.json"
    names = zip(chosen, cycle(_MIXED_TYPES), strict=False)
    layers = {x.fqn: {"quant_type": name, "ssim": 0.9} for x, name in names}
    kept = {"kept_steps": {"numbers": [2]}, "at_every_step": [chosen[0].fqn]}
    file.write_text(json.dumps({"format": FORMAT, "layers": layers} | kept))
    asked = {"compilers": ("none", "compile"), "quant_submodules_config_path": str(file)}
    return BenchRequest.model_validate({"quantize": True} | asked | changes)


def test_a_mixed_selection_brings_its_types_and_its_steps(tmp_path: Path) -> None:
    request = _mixed_request(tmp_path)
    assert quant_types(request) == _MIXED_TYPES
    planned = plan_rows(request, _described("real", _MIXED_TYPES), tmp_path)
    rows = [row for row in planned.values() if row.case.quant_type is not None]
    assert [row.label for row in rows] == ["none+mixed+keep-2", "compile+mixed+keep-2"]
    for row in rows:
        assert sum(row.case.layers_by_type.values()) == row.case.quantized_layers == 20
        assert (
            row.case.layers_words
            == "7 int8_dynamic, 7 int8_weightonly, 6 fp8_e4m3_e4m3_dynamic layers"
        )
        assert row.case.kept_note == "only 1 layer is quantized at number 2 of 20 steps"
        assert (row.case.execution, row.case.selection) == ("real", "mixed.selected.json")


def test_attention_is_deployed_where_it_can_be_and_left_out_aloud(tmp_path: Path) -> None:
    request = _mixed_request(tmp_path, compilers=("none", "torch"))
    file = Path(str(request.quant_submodules_config_path))
    content = json.loads(file.read_text())
    content["layers"]["transformer_blocks.3.attn1"] = {"quant_type": FP8_ATTENTION, "ssim": 0.9}
    file.write_text(json.dumps(content))
    assert quant_types(request) == _MIXED_TYPES
    fused = {"compiler_configs": {"torch": '{"transformer": "fused"}'}}
    found = _described("real", _MIXED_TYPES).replace(**fused)
    planned = plan_rows(request, found, tmp_path)
    plain, ours = [(c, row) for c, row in planned.items() if row.case.quant_type is not None]
    assert plain[0].deployment.attention == Choice()
    assert "fp8 attention of 1 block left out" in str(plain[1].case.selection)
    assert ours[0].deployment.attention.attention == ("transformer_blocks.3.attn1",)
    assert ours[0].deployment.choice.attention == ()
    assert ours[1].label == "torch+mixed+fp8-attention-1+keep-2"
    assert ours[1].case.attention == "fused kernels, fp8 self-attention in 1 block"
    assert ours[1].case.selection == "mixed.selected.json"
    (simulated,) = [
        c
        for c in plan_rows(request, _described("simulated", _MIXED_TYPES), tmp_path)
        if c.selection
    ]
    assert simulated.deployment.attention.attention == ("transformer_blocks.3.attn1",)


def test_one_type_that_is_simulated_makes_the_row_a_simulation(tmp_path: Path) -> None:
    described = _described("real", _MIXED_TYPES)
    simulated = ExecutionFound(execution="simulated", note="no kernel")
    executions = {**described.executions, _MIXED_TYPES[2]: simulated}
    found = described.replace(executions=executions)
    rows = list(plan_rows(_mixed_request(tmp_path), found, tmp_path).values())
    assert [row.label for row in rows] == ["none", "compile", "none+mixed+keep-2"]
    assert (rows[2].case.execution, rows[2].execution_note) == ("simulated", "no kernel")


def test_what_the_fused_kernels_cannot_run_is_refused_before_anything_is_measured(
    tmp_path: Path,
) -> None:
    plain = _described("real", _MIXED_TYPES)
    plain = plain.replace(layers=(*plain.layers, *_SHARING))
    fused = plain.replace(compiler_configs={"torch": '{"transformer": "fused"}'})
    apart = _mixed_request(tmp_path, compilers=("none", "torch"))
    plan_rows(apart, fused, tmp_path)
    together = _mixed_request(tmp_path, _SHARING, compilers=("none", "torch"))
    plan_rows(together, plain, tmp_path)
    with pytest.raises(RequestError, match="fused kernels cannot run this mixed selection"):
        plan_rows(together, fused, tmp_path)


def test_nexfort_and_other_steps_are_refused_for_a_mixed_selection(tmp_path: Path) -> None:
    for changes, said in (
        ({"compilers": ("none", "nexfort")}, "cannot deploy a mixed selection"),
        ({"kept_steps": KeptSteps(last=1)}, "says itself what is quantized"),
    ):
        with pytest.raises(RequestError, match=said):
            wanted_choice(_mixed_request(tmp_path, **changes))
