"""What the plain table says of a profile: estimates, ties, forks, cost, steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pixart_tui.domain.cost import Cost
from pixart_tui.domain.estimation import step_profile
from pixart_tui.domain.forking import forking_prompts
from pixart_tui.domain.probing import Probing, Stability
from pixart_tui.domain.profile import LayerScore, Profile
from pixart_tui.domain.score_text import ESTIMATE_MARK, TIE_MARK


def fast_notes(profile: Profile, scores: Sequence[LayerScore], cost: Cost | None) -> list[str]:
    """One line each for what there is to say."""
    estimated = [s for s in scores if s.estimated]
    tied = [s for s in scores if s.tied]
    notes = []
    if tied:
        notes.append(f"{TIE_MARK} ranks that cannot be told apart: {len(tied)} layers")
    if estimated:
        count = sum(s.ssim is not None for s in scores)
        notes.append(f"{ESTIMATE_MARK} estimated, not imaged: {len(estimated)} of {count} layers")
    if profile.probing is not None and profile.probing.errors:
        notes.append(_steps_note(profile.probing))
    if profile.probing is not None and cost is not None:
        notes.append(cost_note(cost))
    if profile.stability is not None and profile.stability.forks:
        notes.append(fork_note(profile.stability))
    notes.extend(prompt_note(prompt) for prompt in forking_prompts(profile.floor))
    return notes


def cost_note(cost: Cost) -> str:
    """What the profile took beside the exhaustive method."""
    calls = f"{cost.forwards:.0f} of {cost.exhaustive_forwards:.0f} transformer calls"
    return f"cost: 1/{1 / cost.share:.1f} of exhaustive ({calls})"


def fork_note(stability: Stability) -> str:
    """That ranks are partly luck, and what would be stable."""
    found = (
        f"! trajectories fork at guidance {stability.guidance_scale:g}: errors grow up to "
        f"{stability.worst_expansion:.1f}-fold, ranks are partly luck"
    )
    stable = stability.stable_guidance_scale
    return found + (f"; stable: --guidance-scale {stable:g}" if stable is not None else "")


def prompt_note(prompt: str) -> str:
    """That one prompt outweighs the others."""
    return f'! "{prompt}" forks: it outweighs the other prompts, ranks are surer without it'


def _steps_note(probing: Probing) -> str:
    """Which step has the largest part in what the layers do to the image."""
    whole = [f for f, errors in probing.errors.items() if None not in errors]
    parts = np.mean([step_profile(probing, fqn) for fqn in whole], axis=0)
    step = int(parts.argmax())
    return f"of a layer's effect, step {step + 1} of {len(parts)} has {parts[step]:.0%} on average"
