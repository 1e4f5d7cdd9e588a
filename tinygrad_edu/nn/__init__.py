"""Layers, losses, initialisers and checkpoints, under PyTorch's names.

import numpy as np
import tinygrad_edu as tg
from tinygrad_edu import nn

rng = np.random.default_rng(0)
net = nn.Sequential(nn.Linear(64, 32, rng=rng), nn.ReLU(), nn.Linear(32, 10, rng=rng))
loss = nn.CrossEntropyLoss()(net(images), labels)
"""

import sys
from typing import TYPE_CHECKING, NoReturn

from tinygrad_edu.nn import init
from tinygrad_edu.nn.activations import (
    CELU,
    ELU,
    GELU,
    GLU,
    SELU,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softmin,
    Softplus,
    Softsign,
    Step,
    Tanh,
)
from tinygrad_edu.nn.attention import MultiheadAttention, TransformerBlock
from tinygrad_edu.nn.cells import GRUCell, LSTMCell, RNNCell
from tinygrad_edu.nn.checkpoint import load, load_checkpoint, save, save_checkpoint
from tinygrad_edu.nn.containers import Sequential
from tinygrad_edu.nn.convolution import Conv1d, Conv2d
from tinygrad_edu.nn.dropout import Dropout
from tinygrad_edu.nn.embedding import Embedding
from tinygrad_edu.nn.fit import accuracy, evaluate, fit
from tinygrad_edu.nn.history import Epoch, History
from tinygrad_edu.nn.linear import Bilinear, Flatten, Identity, Linear, Unflatten
from tinygrad_edu.nn.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    GaussianNLLLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from tinygrad_edu.nn.module import Buffer, Module, Parameter
from tinygrad_edu.nn.networks import MLP, GatedMLP, Perceptron
from tinygrad_edu.nn.normalisation import BatchNorm1d, BatchNorm2d, LayerNorm, RMSNorm
from tinygrad_edu.nn.pooling import AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, MaxPool1d, MaxPool2d
from tinygrad_edu.nn.recurrent import GRU, LSTM, RNN

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "GRU",
    "LSTM",
    "MLP",
    "RNN",
    "SELU",
    "AdaptiveAvgPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Bilinear",
    "Buffer",
    "Conv1d",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Epoch",
    "Flatten",
    "GRUCell",
    "GatedMLP",
    "GaussianNLLLoss",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "History",
    "HuberLoss",
    "Identity",
    "KLDivLoss",
    "L1Loss",
    "LSTMCell",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "Mish",
    "Module",
    "MultiheadAttention",
    "NLLLoss",
    "PReLU",
    "Parameter",
    "Perceptron",
    "RMSNorm",
    "RNNCell",
    "ReLU",
    "ReLU6",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softmin",
    "Softplus",
    "Softsign",
    "Step",
    "Tanh",
    "TransformerBlock",
    "Unflatten",
    "accuracy",
    "evaluate",
    "fit",
    "init",
    "load",
    "load_checkpoint",
    "save",
    "save_checkpoint",
]

_NAMED_HERE = {
    **{kind: f"nn.{kind}1d or nn.{kind}2d" for kind in ("Conv", "MaxPool", "AvgPool", "BatchNorm")},
    "ModuleList": "a list: modules in it are found",
    "ModuleDict": "a dict: modules in it are found",
    "ParameterList": "a list: parameters in it are found",
    "ParameterDict": "a dict: parameters in it are found",
    "TransformerEncoderLayer": "nn.TransformerBlock",
}

if not TYPE_CHECKING:  # which would take every name for one that is here

    def __getattr__(name: str) -> NoReturn:
        """Say what stands here for a name that is looked for."""
        instead = f"; use {_NAMED_HERE[name]}" if name in _NAMED_HERE else ""
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}{instead}",
            name=name,
            obj=sys.modules[__name__],
        )
