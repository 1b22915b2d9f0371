"""Grad-CAM over 2theta: which angles raise the score of the predicted class of AlphaDiffract.

Selvaraju et al., Int. J. Comput. Vis. 128 (2020) 336: channels are weighted by the mean gradient of the class score,
summed and rectified.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from trainer.models.alphadiffract import AlphaDiffract, ConvNeXtBlock


def attention(model: AlphaDiffract, pattern: Tensor, target: str = "crystal_system") -> Tensor:
    """Return the attention (batch, two_theta), 0 to 1, to the class that the head `target` predicts."""
    stages = list(model.extractor)
    last = max(i for i, stage in enumerate(stages) if isinstance(stage, ConvNeXtBlock))
    with torch.enable_grad():
        x = model.prepare(pattern)
        for stage in stages[: last + 1]:
            x = stage(x)
        activation = x.detach().requires_grad_()
        features = activation
        for stage in stages[last + 1 :]:
            features = stage(features)
        scores = getattr(model, target)(features.flatten(1))
        (gradient,) = torch.autograd.grad(scores.amax(dim=1).sum(), activation)
    weight = gradient.mean(dim=2, keepdim=True)
    cam = torch.relu((weight * activation.detach()).sum(dim=1, keepdim=True))
    cam = functional.interpolate(cam, size=pattern.shape[1], mode="linear", align_corners=False).squeeze(1)
    return cam / cam.amax(dim=1, keepdim=True).clamp_min(1e-12)
