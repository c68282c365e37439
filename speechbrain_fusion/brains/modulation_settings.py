"""What a YAML says of gradient modulation, and the losses that it is about."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any

from torch import Tensor

from speechbrain_fusion.brains.modulation import GRANULARITIES
from speechbrain_fusion.nnet.options import check_option

# What a YAML calls it
KEY = "gradient_modulation"


@dataclass(frozen=True)
class Modulation:
    """How the gradients of several losses become one.

    Arguments
    ---------
    main : str
        Name of the loss whose gradient stays as it is.
    weights : mapping of str to float
        Factors of the losses, 1 for those not named; losses of weight 0 are left out.
    shared : sequence of str, optional
        Modules of the Brain, or parts of them ("model.encoder"), in which gradients are
        modulated; elsewhere they are added up. All modules by default.
    granularity : str
        "tensor", "module", "global" or "none": see `modulate_gradients`.
    symmetric : bool
        Project every gradient, the main one too (PCGrad).

    Raises
    ------
    ValueError
        If there is no main loss, or a value is none of the possible.

    Example
    -------
    >>> Modulation("separation", {"enhancement": 0.1}, ["encoder"]).granularity
    'tensor'
    """

    main: str = ""
    weights: Mapping[str, float] = field(default_factory=dict)
    shared: Sequence[str] | None = None
    granularity: str = "tensor"
    symmetric: bool = False

    def __post_init__(self) -> None:
        shared = self.shared
        _expect(
            isinstance(self.main, str) and bool(self.main),
            f"main: expected the name of the main loss, got {self.main!r}",
        )
        check_option(f"{KEY}.granularity", self.granularity, GRANULARITIES)
        _expect(
            isinstance(self.symmetric, bool),
            f"symmetric: expected true or false, got {self.symmetric!r}",
        )
        _expect(
            shared is None or (isinstance(shared, list | tuple) and len(shared) > 0),
            f"shared: expected a list of modules, got {shared!r}",
        )
        self._check_weights()

    def _check_weights(self) -> None:
        _expect(
            isinstance(self.weights, Mapping),
            "weights: expected a factor by the name of each loss, got "
            f"{self.weights!r}",
        )
        for name, weight in self.weights.items():
            number = isinstance(weight, Real) and 0 <= weight < math.inf
            _expect(
                number and (name != self.main or weight != 0),
                "weights: expected a finite factor of at least 0, above 0 for the "
                f"main loss, got {name}: {weight}",
            )

    @classmethod
    def of(cls, settings: Any) -> "Modulation":
        """Make one of a YAML's mapping, or take one as it is.

        Raises
        ------
        ValueError
            If it is neither, or has other keys or values than those known.

        Example
        -------
        >>> Modulation.of({"main": "separation", "symmetric": True}).symmetric
        True
        """
        if isinstance(settings, cls):
            return settings
        known = [key.name for key in fields(cls)]
        if not isinstance(settings, Mapping | None):
            raise ValueError(f"{KEY}: expected keys {known}, got {settings!r}")
        unknown = sorted(set(settings or {}) - set(known))
        if unknown:
            raise ValueError(f"{KEY}: expected keys {known}, got {unknown}")
        return cls(**(settings or {}))

    def weigh(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses times their weights, those of weight 0 left out.

        Arguments
        ---------
        losses : mapping of str to torch.Tensor
            Scalars, what `compute_objectives` returns.

        Returns
        -------
        dict of str to torch.Tensor
            Scalars.

        Raises
        ------
        ValueError
            If the losses are no such mapping, or the main one or one that has a weight
            is not among them.

        Example
        -------
        >>> import torch
        >>> losses = {"separation": torch.tensor(3.0), "enhancement": torch.tensor(2.0)}
        >>> Modulation("separation", {"enhancement": 0.5}).weigh(losses)
        {'separation': tensor(3.), 'enhancement': tensor(1.)}
        """
        self._check_losses(losses)
        factors = {name: self.weights.get(name, 1.0) for name in losses}
        return {name: factors[name] * losses[name] for name in losses if factors[name]}

    def _check_losses(self, losses: Mapping[str, Tensor]) -> None:
        if not isinstance(losses, Mapping):
            raise ValueError(
                "compute_objectives: expected a dict of named losses, got "
                f"{type(losses).__name__}"
            )
        for name, loss in losses.items():
            if not isinstance(loss, Tensor) or loss.numel() != 1:
                raise ValueError(
                    f"compute_objectives: expected a scalar tensor, got {name}: "
                    f"{getattr(loss, 'shape', loss)}"
                )
        weighted = [("weights", name) for name, x in self.weights.items() if x]
        for key, name in [("main", self.main), *weighted]:
            _expect(
                name in losses,
                f"{key}: expected names of the losses, {sorted(losses)}, got {name!r}",
            )


def _expect(given: bool, otherwise: str) -> None:
    """Refuse what a YAML says, naming the key."""
    if not given:
        raise ValueError(f"{KEY}.{otherwise}")
