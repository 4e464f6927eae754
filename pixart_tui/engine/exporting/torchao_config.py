"""A selection as torchao's ``FqnToConfig``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from pixart_tui.domain.layers.quant_types import parse_quant_type
from pixart_tui.engine.quant.real import torchao_config


def fqn_to_config(assignments: Mapping[str, str]) -> Any:
    """The configuration object: each layer's own, all others left alone.

    Args:
        assignments: Layer to the name of its quant type, each one that torchao has a configuration
            for.
    """
    from torchao.quantization import FqnToConfig

    configs = {name: torchao_config(parse_quant_type(name)) for name in assignments.values()}
    by_fqn = OrderedDict((fqn, configs[name]) for fqn, name in assignments.items())
    return FqnToConfig(fqn_to_config=by_fqn)


def config_dict(assignments: Mapping[str, str]) -> dict[str, Any]:
    """The same as torchao serializes it, for ``torchao.core.config.config_from_dict``."""
    from torchao.core.config import config_to_dict

    content: dict[str, Any] = config_to_dict(fqn_to_config(assignments))
    return content
