from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.generation import (
    CallOptions,
    GenerationPlan,
    PipelineCall,
    Purpose,
    fit_line,
    parse_call_options,
    result_lines,
)
from pixart_tui.domain.provenance import Machine

_RULE = "======================================="


def _plan(execution: str = "", device: str = "cuda") -> GenerationPlan:
    machine = Machine.model_validate(
        {"device": device, "device_name": "X", "cpu_cores": 2, "memory_bytes": 1, "os": "Linux"}
    )
    return GenerationPlan.model_validate(
        {
            "machine": machine,
            "versions": {},
            "model_fingerprint": "sha256:0",
            "dtype": "bfloat16",
            "scheduler": "DDIMScheduler",
            "steps": 20,
            "guidance_scale": 4.5,
            "execution": execution,
        }
    )


def _call(purpose: Purpose, elapsed_s: float, steps: int = 20, side: int = 1024) -> PipelineCall:
    return PipelineCall(
        purpose=purpose,
        height=side,
        width=512,
        steps=steps,
        elapsed_s=elapsed_s,
        iterations_per_s=21.0674 if purpose == "image" else None,
        peak_bytes=int(14.468 * 2**30) if purpose == "image" else None,
    )


_CALLS = (
    _call("warm-up", 1.0),
    _call("warm-up", 0.7411),
    _call("image", 1.1019),
    _call("resolution", 1.5, side=768),
    _call("throughput", 0.2, steps=1),
    _call("throughput", 0.3, steps=2),
    _call("throughput", 0.4, steps=3),
)


def test_the_lines_are_those_of_onediffs_script() -> None:
    assert list(result_lines(_plan(), _CALLS, saved=False, backend="nexfort")) == [
        "Nexfort backend is now active...",
        _RULE,
        "Begin warmup",
        "End warmup",
        "Warmup time: 1.741s",
        _RULE,
        _RULE,
        "Inference time: 1.102s",
        "Iterations per second: 21.067",
        "Max used CUDA memory : 14.468GiB",
        _RULE,
        "Please set `--output-image` to save the output image",
        "Test run with multiple resolutions...",
        "Running at resolution: 768x512",
        "Inference time: 1.50 seconds",
        "Steps: 1, Inference Time: 0.20 seconds, Throughput: 5.00 steps/s",
        "Steps: 2, Inference Time: 0.30 seconds, Throughput: 6.67 steps/s",
        "Steps: 3, Inference Time: 0.40 seconds, Throughput: 7.50 steps/s",
        "Average Throughput: 6.39 steps/s",
        "Throughput without base cost: 10.00 steps/s",
        "Model: Inference Time = 0.10 * Steps + 0.10",
    ]


def test_what_was_simulated_has_no_figure() -> None:
    lines = list(result_lines(_plan("simulated", "cpu"), _CALLS, saved=True))
    assert "Inference time: simulated" in lines
    assert "Max used memory : simulated" in lines
    assert not any("21.067" in line or "1.102" in line for line in lines)


def test_what_did_not_come_to_an_image_has_no_lines() -> None:
    assert list(result_lines(_plan(), (), saved=False)) == []
    assert _RULE not in list(result_lines(_plan(), _CALLS[3:4], saved=True))


@given(st.floats(0.001, 10), st.floats(0, 10), st.integers(2, 99))
def test_the_line_through_calls_is_that_of_their_times(
    per_step_s: float, base_s: float, last: int
) -> None:
    steps = range(1, last + 1)
    fit = fit_line(list(steps), [per_step_s * n + base_s for n in steps])
    assert fit.per_step_s == pytest.approx(per_step_s, rel=1e-6, abs=1e-9)
    assert fit.base_s == pytest.approx(base_s, rel=1e-6, abs=1e-6)


def test_options_reach_the_call_as_it_takes_them() -> None:
    text = '{"guidance_scale": 1, "timesteps": [999, 500], "use_resolution_binning": false}'
    assert parse_call_options(text).arguments() == {
        **{"guidance_scale": 1.0, "timesteps": [999, 500], "use_resolution_binning": False}
    }
    assert parse_call_options("{}") == CallOptions()
    assert CallOptions().arguments() == {}


@given(st.text(max_size=40) | st.from_regex(r'\A\{"[a-z_]{1,20}": (null|1|"x"|\[\]|NaN)\}\Z'))
def test_any_other_text_is_one_clear_error(text: str) -> None:
    found = _error_of(text)
    if found is not None:
        assert len(found.lines()) <= 5
        assert "--extra-call-kwargs" in found.title


def _error_of(text: str) -> RequestError | None:
    try:
        parse_call_options(text)
    except RequestError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not a JSON object"),
        ("[]", "not a JSON object"),
        ('{"eta": ' + "9" * 5000 + "}", "not a JSON object"),
        ('{"guidance": 1}', '"guidance"'),
        ('{"num_inference_steps": 5}', "flag of its own"),
        ('{"eta": NaN}', '"eta"'),
        ('{"timesteps": [1.5]}', '"timesteps"'),
        ('{"clean_caption": 1}', '"clean_caption"'),
        ('{"max_sequence_length": 0}', '"max_sequence_length"'),
    ],
)
def test_what_the_call_cannot_take_is_refused(text: str, said: str) -> None:
    found = _error_of(text)
    assert found is not None
    assert said in found.title
