"""Optimisers, schedules of the learning rate, and gradient clipping, under PyTorch's names."""

from tinygrad_edu.optim.algorithms import SGD, Adam, AdamW, RMSprop
from tinygrad_edu.optim.clipping import clip_grad_norm_, clip_grad_value_
from tinygrad_edu.optim.optimizer import Optimizer
from tinygrad_edu.optim.schedules import (
    CosineAnnealingLR,
    LinearWarmup,
    LRScheduler,
    StepLR,
    constant,
    cosine,
    step_decay,
    warmup,
)

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "LRScheduler",
    "LinearWarmup",
    "Optimizer",
    "RMSprop",
    "StepLR",
    "clip_grad_norm_",
    "clip_grad_value_",
    "constant",
    "cosine",
    "step_decay",
    "warmup",
]
