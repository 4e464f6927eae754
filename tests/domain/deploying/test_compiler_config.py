from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.deploying.compiler_config import (
    MEMORY_FORMATS,
    MODES,
    CompilerConfig,
    Option,
    ResolvedModes,
    parse_compiler_config,
    resolve_modes,
)
from pixart_tui.domain.errors import RequestError

NEXFORT_MODES = (
    "default",
    "cache-all",
    "max-autotune",
    "max-optimize",
    "cudagraphs",
    "inductor-cudagraphs",
    "freezing",
    "inductor-freezing",
    "low-precision",
    "benchmark",
    "fast-accum",
    "quant",
    "jit",
    "disable-runtime-fusion",
    "cpp-wrapper",
    "disable-inductor",
)
ONEDIFF_TEXTS = (
    '{"mode": "max-optimize:max-autotune:low-precision", "memory_format": "channels_last"}',
    '{"mode": "max-autotune", "memory_format": "channels_last"}',
    '{"mode": "max-optimize:max-autotune:freezing:benchmark:low-precision:cudagraphs", '
    '"memory_format": "channels_last"}',
    '{"mode": "jit:disable-runtime-fusion", "memory_format": "channels_last"}',
    '{"mode": "quant:max-optimize:max-autotune:freezing:benchmark:low-precision:cudagraphs", '
    '"memory_format": "channels_last"}',
)

mode_lists = st.lists(st.sampled_from(NEXFORT_MODES), min_size=1, max_size=6).map(tuple)
configs = st.builds(
    CompilerConfig,
    modes=mode_lists,
    memory_format=st.sampled_from(MEMORY_FORMATS),
    dynamic=st.booleans(),
)


def _flat(modes: ResolvedModes) -> dict[str, Option]:
    known = asdict(modes)
    inductor: dict[str, Option] = known.pop("inductor")
    return known | inductor


def _refused(text: str) -> RequestError:
    with pytest.raises(RequestError) as caught:
        parse_compiler_config(text)
    lines = caught.value.lines()
    assert len(lines) <= 5
    assert all("\n" not in line and line.isprintable() for line in lines)
    return caught.value


def test_every_mode_of_nexfort_and_no_other() -> None:
    assert set(MODES) == set(NEXFORT_MODES)


def test_the_default_is_that_of_the_seed_with_cuda_graphs() -> None:
    default, seed = parse_compiler_config("{}"), parse_compiler_config(ONEDIFF_TEXTS[0])
    assert default == CompilerConfig()
    assert default.modes == (*seed.modes, "cudagraphs")
    assert (default.memory_format, default.dynamic) == (seed.memory_format, seed.dynamic)


@pytest.mark.parametrize("text", ONEDIFF_TEXTS)
def test_the_seed_s_texts_are_understood(text: str) -> None:
    config = parse_compiler_config(text)
    assert json.loads(config.to_json()) == json.loads(text) | {"dynamic": False}


@given(configs)
def test_the_canonical_text_says_the_same(config: CompilerConfig) -> None:
    assert parse_compiler_config(config.to_json()) == config


@given(configs, st.permutations(["mode", "memory_format", "dynamic"]))
def test_the_canonical_text_does_not_depend_on_order_or_spaces(
    config: CompilerConfig, keys: list[str]
) -> None:
    said = json.loads(config.to_json())
    text = json.dumps({key: said[key] for key in keys}, indent=3)
    assert parse_compiler_config(text).to_json() == config.to_json()


@given(mode_lists)
def test_of_two_modes_the_earlier_one_wins(modes: tuple[str, ...]) -> None:
    found = _flat(resolve_modes(modes))
    for option, value in found.items():
        setters = [mode for mode in modes if option in MODES[mode]]
        if setters:
            assert value == MODES[setters[0]][option]
        else:
            assert value == asdict(ResolvedModes())[option]


@given(mode_lists, st.sampled_from(NEXFORT_MODES))
def test_a_later_mode_changes_nothing_that_is_set(modes: tuple[str, ...], later: str) -> None:
    before, after = _flat(resolve_modes(modes)), _flat(resolve_modes((*modes, later)))
    settled = {option for mode in modes for option in MODES[mode]}
    assert {option: after[option] for option in settled} == {
        option: before[option] for option in settled
    }


def test_jit_first_is_quick_and_jit_last_is_tuned() -> None:
    quick, tuned = resolve_modes(("jit", "max-autotune")), resolve_modes(("max-autotune", "jit"))
    assert quick.transformer == tuned.transformer == "blocks"
    assert quick.inductor["max_autotune"] is False
    assert tuned.inductor["max_autotune"] is True


def test_what_disables_inductor_is_settled_by_the_earlier_mode() -> None:
    assert resolve_modes(("jit", "disable-inductor")).backend == "inductor"
    assert resolve_modes(("disable-inductor", "jit")).backend == "aot_eager"


def test_the_best_mode_of_onediff() -> None:
    modes = resolve_modes(parse_compiler_config(ONEDIFF_TEXTS[4]).modes)
    assert modes == ResolvedModes(
        cuda_graphs="own",
        freezing=True,
        low_precision=True,
        cudnn_benchmark=True,
        inductor={
            "coordinate_descent_tuning": True,
            "force_fuse_int_mm_with_mul": True,
            "max_autotune": True,
            "max_autotune_gemm": True,
            "max_autotune_gemm_backends": "ATEN,TRITON,CPP",
            "triton.autotune_cublasLt": True,
            "triton.multi_kernel": 1,
            "use_fast_math": True,
        },
    )


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("max_autotune", "max-autotune"),
        ("Max-Optimise", "max-optimize"),
        ("cuda-graphs", "cudagraphs"),
        ("low precision", "low-precision"),
        ("freeze", "freezing"),
        ("disable-fusion", "disable-runtime-fusion"),
        ("cppwrapper", "cpp-wrapper"),
    ],
)
def test_an_unknown_mode_is_told_with_the_closest_one(wrong: str, meant: str) -> None:
    error = _refused(json.dumps({"mode": f"jit:{wrong}"}))
    assert wrong in error.title
    assert error.next_step == f'write "{meant}"'
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("text", "said", "next_step"),
    [
        ('{"modes": "jit"}', 'no key "modes"', 'write "mode"'),
        ('{"memory-format": "x"}', 'no key "memory-format"', 'write "memory_format"'),
        ('{"memory_format": "channel_last"}', "no memory format", 'write "channels_last"'),
        ('{"mode": ""}', 'no mode ""', "write"),
        ('{"mode": "jit:"}', 'no mode ""', "write"),
        ('{"mode": null}', '"mode" cannot be null', '"mode":'),
        ('{"mode": ["jit"]}', '"mode" cannot be a list', '"mode":'),
        ('{"dynamic": 1}', '"dynamic" cannot be 1', '{"dynamic": false}'),
        ('{"dynamic": "true"}', '"dynamic" cannot be "true"', '{"dynamic": false}'),
        ('{"mode": "jit", "mode": "quant"}', 'says "mode" twice', "leave one"),
        ("", "is not a JSON object", "for example"),
        ("mode=jit", "is not a JSON object", "for example"),
        ('["jit"]', "is not a JSON object", "for example"),
        ("[" * 100_000, "is not a JSON object", "for example"),
        ("1" * 10_000, "is not a JSON object", "for example"),
        ('{"mode": "\\ud800\\u202e\\n"}', '"\\ud800\\u202e\\n"', "write"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str, next_step: str) -> None:
    error = _refused(text)
    assert said in error.title
    assert next_step in error.next_step


@given(st.text() | st.dictionaries(st.text(), st.text() | st.booleans()).map(json.dumps))
def test_any_text_is_understood_or_refused_in_few_lines(text: str) -> None:
    try:
        config = parse_compiler_config(text)
    except RequestError:
        _refused(text)
    else:
        assert set(config.modes) <= set(MODES)


@given(st.text(min_size=500))
def test_a_long_mode_is_cut(mode: str) -> None:
    assert len(_refused(json.dumps({"mode": mode})).title) < 200
