from __future__ import annotations

import math
from typing import get_args

import pytest

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.selecting.rules import DEFAULT_RULE, RULES, Rule


def test_every_rule_has_one_specification() -> None:
    assert tuple(RULES) == get_args(Rule)
    assert all(spec.rule == rule for rule, spec in RULES.items())
    assert (DEFAULT_RULE.rule, DEFAULT_RULE.usual) == ("top-percentage", 90)


@pytest.mark.parametrize("rule", get_args(Rule))
def test_parameters_out_of_range_are_refused_with_one_that_is_in_it(rule: Rule) -> None:
    spec = RULES[rule]
    spec.check(0)
    spec.check(spec.usual)
    wrong = [-0.1, math.nan, math.inf]
    if math.isfinite(spec.highest):
        spec.check(spec.highest)
        wrong.append(spec.highest * 1.01)
    for parameter in wrong:
        with pytest.raises(RequestError, match="is out of range") as caught:
            spec.check(parameter)
        assert caught.value.next_step.endswith(f"--{rule} {spec.usual:g}")
