from __future__ import annotations

import shlex

from pixart_tui.cli.commands.profile import profile
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.reporting.command import command_of


def test_a_profile_can_be_asked_for_again() -> None:
    request = ProfileRequest(
        prompts=("red apple; rm -rf", "robot"),
        num_inference_steps=4,
        draws=16,
        more_quant_types=("int8_dynamic",),
        max_minutes=2.5,
        all_samples=True,
        seeds=(0, 1),
        output="/x/fp8_e4m3.json",
    )
    command = command_of(request)
    name, *arguments = shlex.split(command)[1:]
    assert name == "profile"
    asked = profile.make_context("profile", arguments).params
    assert asked["prompts"] == request.prompts
    assert (asked["steps"], asked["draws"], asked["seeds"]) == (4, 16, 2)
    assert (asked["max_minutes"], asked["all_samples"], asked["low_memory"]) == (2.5, True, False)
    assert asked["quant_types"] == request.quant_types
    assert "--method" not in command


def test_timesteps_are_asked_for_again() -> None:
    request = ProfileRequest(timesteps=(999, 499), output="/x/fp8_e4m3.json")
    assert "--timesteps 999,499" in command_of(request)
