from __future__ import annotations

import pytest

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.domain.timesteps import check_agreement, parse_timesteps


def test_timesteps_are_whole_numbers_that_descend() -> None:
    assert parse_timesteps("999, 749,0") == (999, 749, 0)
    assert parse_timesteps("400") == (400,)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("", "no timesteps"),
        ("999,", "no timesteps"),
        ("999,7.5", "no timesteps"),
        ("first", "no timesteps"),
        ("499,999", "do not descend"),
        ("499,499", "do not descend"),
        ("499,-1", "negative"),
    ],
)
def test_others_are_told(text: str, title: str) -> None:
    with pytest.raises(RequestError, match=title) as caught:
        parse_timesteps(text)
    assert "999,749,499" in caught.value.next_step


def test_steps_and_timesteps_agree_or_are_refused() -> None:
    check_agreement(2, (999, 499))
    check_agreement(None, (999, 499))
    check_agreement(20, ())
    with pytest.raises(RequestError, match="20 steps and 2 timesteps disagree"):
        check_agreement(20, (999, 499))


def test_a_request_keeps_them() -> None:
    request = ProfileRequest(timesteps=(999, 499), output="unused.json")
    assert ProfileRequest.model_validate_json(request.model_dump_json()) == request
    with pytest.raises(RequestError, match="disagree"):
        ProfileRequest(num_inference_steps=3, timesteps=(999, 499), output="unused.json")
    with pytest.raises(RequestError, match="do not descend"):
        ProfileRequest(timesteps=(499, 999), output="unused.json")
