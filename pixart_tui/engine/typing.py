"""Names for the objects of diffusers and transformers.

Both packages ship types that do not check under strict rules, so mypy skips them
(``follow_imports`` in ``pyproject.toml``), and these names stand for ``Any``.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Pipeline: TypeAlias = Any
"""A PixArt pipeline, such as ``PixArtAlphaPipeline`` or ``PixArtSigmaPipeline``."""
Transformer: TypeAlias = Any
"""``PixArtTransformer2DModel``."""
Vae: TypeAlias = Any
"""``AutoencoderKL``."""
Decoder: TypeAlias = Any
"""Decoder of an ``AutoencoderKL``."""
TextEncoder: TypeAlias = Any
"""``T5EncoderModel``."""
Tokenizer: TypeAlias = Any
"""``T5Tokenizer``."""
Scheduler: TypeAlias = Any
"""A scheduler of diffusers."""
SchedulerClass: TypeAlias = Any
"""Its class."""
Attention: TypeAlias = Any
"""diffusers' ``Attention``."""
Processor: TypeAlias = Any
"""An attention processor: it computes what an ``Attention`` returns."""
BasicTransformerBlock: TypeAlias = Any
"""diffusers' class of this name."""
ResnetBlock: TypeAlias = Any
"""``ResnetBlock2D``."""
Upsampler: TypeAlias = Any
"""``Upsample2D``."""
Config: TypeAlias = Any
"""A frozen configuration, with a field as attribute."""
