"""One backward pass through decoder and sampler gives every layer's effect on the image.

Quantizing a layer changes its output at a transformer call by a local error d. To first order a
functional f of the image changes by the inner product <g, d>, with g the gradient of f at the
layer's output. ``functional`` draws f so that its mean square is 1 - SSIM, ``decoder``,
``sampler`` and ``transformer`` carry its gradient back, ``taps`` forms the products, and
``measuring`` does so for samples after samples.
Imports the rest of ``sensitivity`` and ``quant``.
"""
