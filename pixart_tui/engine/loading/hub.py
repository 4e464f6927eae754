"""Fetching a model from the Hugging Face Hub, or from its cache on this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.loading.config_files import brief
from pixart_tui.engine.loading.libraries import DiffusionPipeline, warnings_to_log

_LOG = logging.getLogger(__name__)


def fetch(name: str, variant: str, local_files_only: bool) -> Path:
    """The directory of a model of the Hub, downloaded if it is not in the cache.

    Args:
        name: ``org/name``.
        variant: Which weight files; empty for those without a name.
        local_files_only: Look into the cache alone.

    Raises:
        RequestError: The Hub has no such model, does not give it, or cannot be reached and the
            cache does not hold it.
    """
    offline = local_files_only or constants.HF_HUB_OFFLINE
    try:
        return _download(name, variant, offline)
    except Exception as error:
        _LOG.debug("fetching %s failed", name, exc_info=True)
        raise _explain(name, error) from error


def _download(name: str, variant: str, offline: bool) -> Path:
    with warnings_to_log():
        return Path(
            DiffusionPipeline.download(
                name,
                variant=variant or None,
                cache_dir=constants.HF_HUB_CACHE,
                local_files_only=offline,
            )
        )


def _explain(name: str, error: BaseException) -> RequestError:
    chain = list(_causes(error))
    if any(isinstance(cause, GatedRepoError) for cause in chain):
        return RequestError(
            f"access to {name} must be asked for",
            cause="its owner gives access per account",
            next_step=f"Accept the terms at {constants.ENDPOINT}/{name}, then run: hf auth login",
        )
    if any(isinstance(cause, RepositoryNotFoundError | HFValidationError) for cause in chain):
        return RequestError(
            f"the Hugging Face Hub has no model {name}",
            cause=f"{constants.ENDPOINT}/{name} is not there or is private; no directory has "
            "that name",
            next_step="Check the spelling; for a private model run: hf auth login",
        )
    offline = any(isinstance(x, LocalEntryNotFoundError | OfflineModeIsEnabled) for x in chain)
    reason = "the Hub was not asked" if offline else brief(chain[-1])
    return RequestError(
        f"{name} cannot be fetched",
        cause=f"{reason}; the cache {constants.HF_HUB_CACHE} does not hold the whole model",
        next_step=f"On a machine with access run: hf download {name}, and copy its cache "
        "directory here, "
        "or pass a directory.",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__
