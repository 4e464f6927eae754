"""Sends torchao's output at import to logs; import this before torchao."""

from __future__ import annotations

import logging

# The null handler keeps Python from printing what no handler took.
logging.getLogger("torchao").addHandler(logging.NullHandler())
# Its enums trip a deprecation notice of torch's at import; it cannot be acted on here.
logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
