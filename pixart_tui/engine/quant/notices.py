"""What torchao says at import, sent to logs and not to the screen; import this before torchao."""

from __future__ import annotations

import logging

# The null handler keeps Python from printing what no handler took.
logging.getLogger("torchao").addHandler(logging.NullHandler())
# Its enums trip a deprecation notice of torch's at import; nobody here can act on it.
logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
