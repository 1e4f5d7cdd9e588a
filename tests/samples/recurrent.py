"""Recurrence: one step and several, with and without a bias."""

from samples.base import SMALL, A, call
from tinygrad_edu.domain import Domain
from tinygrad_edu.ops import recurrent
from tinygrad_edu.testing import Strategy

POSITIVE = Domain(0.1, 1.0)  # with such numbers relu is never at its kink


def S(*shape: int) -> Strategy:  # as A, and small: tanh is not flat there
    return A(*shape, domain=SMALL)


def P(*shape: int) -> Strategy:
    return A(*shape, domain=POSITIVE)


SAMPLES = {
    recurrent.rnn_steps: [
        call(S(3, 2, 2), S(2, 2), S(2, 2), nonlinearity="tanh"),
        call(P(3, 2, 2), P(2, 2), P(2, 2), nonlinearity="relu"),
        call(S(1, 1, 3), S(3, 3), S(1, 3), nonlinearity="tanh"),
    ],
    recurrent.gru_steps: [
        call(S(3, 2, 6), S(6, 2), S(6), S(2, 2)),
        call(S(2, 1, 3), S(3, 1), None, S(1, 1)),
    ],
    recurrent.lstm_steps: [
        call(S(3, 2, 8), S(8, 2), S(2, 2), S(2, 2)),
        call(S(1, 3, 4), S(4, 1), S(3, 1), S(3, 1)),
    ],
}
NO_PROGRAM = dict.fromkeys(SAMPLES, "one op for all steps; the layers write them one by one")
