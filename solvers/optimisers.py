"""Gradient ascent and Adam, as ``torch.optim`` computes them, float for float.

They are here because the first object of ``torch.optim`` in a process imports torch's compiler, sympy and torch.distributed, which takes as
long as torch itself::

    "sgd"    x <- x + lr g
    "adam"   m <- m + (1 - .9) (g - m),  v <- .999 v + (1 - .999) g^2
             x <- x + lr m / (1 - .9^t) / (sqrt(v / (1 - .999^t)) + 1e-8)

(Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, arXiv 1412.6980).
"""

from __future__ import annotations

import abc

import torch

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Adam's, as in its paper and in ``torch.optim``."""


class Optimiser(abc.ABC):
    """Tensors that ascend along their ``grad``.

    Args:
        *groups: (tensors, learning rate) each; the tensors are changed in place.
    """

    def __init__(self, *groups: tuple[list[torch.Tensor], float]) -> None:
        self.rates = [(parameter, rate) for parameters, rate in groups for parameter in parameters]

    def step(self) -> None:
        """Move each tensor that has a gradient; the others stay."""
        with torch.no_grad():
            for i, (parameter, rate) in enumerate(self.rates):
                if parameter.grad is not None:
                    self._ascend(i, parameter, parameter.grad, rate)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter, _ in self.rates:
            parameter.grad = None

    @abc.abstractmethod
    def _ascend(self, i: int, x: torch.Tensor, gradient: torch.Tensor, rate: float) -> None:
        """One step of tensor number ``i``, in place."""


class GradientAscent(Optimiser):
    """``torch.optim.SGD`` with ``maximize=True``."""

    def _ascend(self, i: int, x: torch.Tensor, gradient: torch.Tensor, rate: float) -> None:
        x.add_(gradient, alpha=rate)


class Adam(Optimiser):
    """``torch.optim.Adam`` with ``maximize=True``."""

    def __init__(self, *groups: tuple[list[torch.Tensor], float]) -> None:
        super().__init__(*groups)
        self.moments = [(torch.zeros_like(x, requires_grad=False), torch.zeros_like(x, requires_grad=False)) for x, _ in self.rates]
        self.steps = [0] * len(self.rates)

    def _ascend(self, i: int, x: torch.Tensor, gradient: torch.Tensor, rate: float) -> None:
        self.steps[i] += 1
        mean, square = self.moments[i]
        mean.lerp_(gradient, 1 - BETAS[0])
        square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        unbiased = [1 - beta ** self.steps[i] for beta in BETAS]
        x.addcdiv_(mean, (square.sqrt() / unbiased[1] ** 0.5).add_(EPSILON), value=rate / unbiased[0])


OPTIMISERS: dict[str, type[Optimiser]] = {"sgd": GradientAscent, "adam": Adam}
"""By the name that solvers' hyperparameter ``optimiser`` gives them."""
