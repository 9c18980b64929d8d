"""A CLIP text tower for serving, without torch: open_clip's `TextTransformer`, computed by NumPy.

It covers what Hemline's own CLIP is: causal attention, exact GELU, the result read at the
end-of-text token. The unit vectors are equal to open_clip's within 1e-5.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from hemline.encoders.gelu import gelu
from hemline.vectors import F32

_EPSILON = np.float32(1e-5)  # torch's default of LayerNorm


class NumpyTextTower:
    """Token ids to features, both as the tower that was trained takes and gives them."""

    def __init__(self, weights: Mapping[str, F32], heads: int) -> None:
        """`weights` by their names in open_clip's TextTransformer. Raises KeyError."""
        self._tokens = weights["token_embedding.weight"]  # (vocabulary, W)
        self._positions = weights["positional_embedding"]  # (context, W)
        self._projection = weights["text_projection"]  # (W, dim)
        self._final = weights["ln_final.weight"], weights["ln_final.bias"]
        layers = sum(name.endswith(".ln_1.weight") for name in weights)
        self._blocks = [
            _Block(weights, f"transformer.resblocks.{layer}.", heads) for layer in range(layers)
        ]

    def __call__(self, tokens: npt.NDArray[np.int64]) -> F32:
        """int64 (B, context), zeros behind the end-of-text token -> float32 (B, dim), any norm."""
        pooled = tokens.argmax(axis=1)  # end-of-text has the largest id
        length = int(pooled.max()) + 1  # what is behind it cannot be seen: see clip_model
        x = self._tokens[tokens[:, :length]] + self._positions[:length]  # (B, T, W)
        unseen = np.triu(np.full((length, length), -np.inf, np.float32), k=1)
        for block in self._blocks:
            x = block(x, unseen)
        return _layer_norm(x[np.arange(len(x)), pooled], self._final) @ self._projection


class _Block:
    """x + attention(LN(x)), then x + MLP(LN(x))."""

    def __init__(self, weights: Mapping[str, F32], name: str, heads: int) -> None:
        def linear(weight: str, bias: str) -> tuple[F32, F32]:
            return np.ascontiguousarray(weights[name + weight].T), weights[name + bias]

        self._heads = heads
        self._before = weights[f"{name}ln_1.weight"], weights[f"{name}ln_1.bias"]
        self._inward = linear("attn.in_proj_weight", "attn.in_proj_bias")
        self._outward = linear("attn.out_proj.weight", "attn.out_proj.bias")
        self._between = weights[f"{name}ln_2.weight"], weights[f"{name}ln_2.bias"]
        self._wide = linear("mlp.c_fc.weight", "mlp.c_fc.bias")
        self._narrow = linear("mlp.c_proj.weight", "mlp.c_proj.bias")

    def __call__(self, x: F32, unseen: F32) -> F32:
        """(B, T, W) -> (B, T, W); unseen: (T, T), added to the attention logits."""
        x = x + self._attention(_layer_norm(x, self._before), unseen)
        weight, bias = self._wide
        hidden = gelu(_layer_norm(x, self._between) @ weight + bias)
        weight, bias = self._narrow
        return x + (hidden @ weight + bias)

    def _attention(self, x: F32, unseen: F32) -> F32:
        (rows, length, width), heads = x.shape, self._heads
        weight, bias = self._inward
        split = (x @ weight + bias).reshape(rows, length, 3, heads, width // heads)
        queries, keys, values = split.transpose(2, 0, 3, 1, 4)  # each (B, H, T, W / H)
        logits = queries @ keys.swapaxes(2, 3) * np.float32((width // heads) ** -0.5) + unseen
        shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        weight, bias = self._outward
        mixed = (shares @ values).transpose(0, 2, 1, 3).reshape(rows, length, width)
        return np.asarray(mixed @ weight + bias, np.float32)


def _layer_norm(x: F32, scale_and_shift: tuple[F32, F32]) -> F32:
    scale, shift = scale_and_shift
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + _EPSILON) * scale + shift, np.float32)
