"""Formats a layer's score for every screen."""

from __future__ import annotations

from typing import Final

from pixart_tui.domain.profiles.score import LayerScore

TIE_MARK: Final = "="
UNKNOWN_MARK: Final = "?"


def rank_text(place: int, score: LayerScore) -> str:
    """``3``, ``2=`` for all that cannot be told apart from the second, ``3?`` without any noise."""
    if score.tied and score.tied_from is not None:
        return f"{score.tied_from}{TIE_MARK}"
    return str(place) if score.rank is not None else f"{place}{UNKNOWN_MARK}"


def psnr_text(score: LayerScore) -> str:
    """PSNR in dB; ``equal`` where no image differs, ``-`` where none was made."""
    if score.psnr_db is not None:
        return f"{score.psnr_db:.1f}"
    return "equal" if is_imaged(score) else "-"


def is_imaged(score: LayerScore) -> bool:
    """Whether images were made with this layer quantized alone."""
    return score.ssim_std is not None


def every_layer_label(quant_type: str) -> str:
    """Names an image with every layer quantized."""
    return f"every layer in {quant_type}"


def figures_text(ssim: float | None, psnr_db: float | None, mae: float | None) -> str:
    """``SSIM 0.998765  PSNR 45.12 dB  MAE 0.00123``: an image beside its reference."""
    if ssim is None:
        return "not measured"
    psnr = "PSNR infinite: equal images" if psnr_db is None else f"PSNR {psnr_db:.2f} dB"
    error = "" if mae is None else f"  MAE {mae:.5f}"
    return f"SSIM {ssim:.6f}  {psnr}{error}"
