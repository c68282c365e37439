"""What a YAML says of gradient modulation."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any

from speechbrain_fusion.brains.modulation import GRANULARITIES


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
        if not isinstance(self.main, str) or not self.main:
            raise ValueError(
                "gradient_modulation.main: expected the name of the main loss, "
                f"got {self.main!r}"
            )
        if self.granularity not in GRANULARITIES:
            raise ValueError(
                f"gradient_modulation.granularity: expected one of {GRANULARITIES}, "
                f"got {self.granularity!r}"
            )
        if not isinstance(self.symmetric, bool):
            raise ValueError(
                "gradient_modulation.symmetric: expected true or false, got "
                f"{self.symmetric!r}"
            )
        if not isinstance(self.weights, Mapping):
            raise ValueError(
                "gradient_modulation.weights: expected a factor by the name of each "
                f"loss, got {self.weights!r}"
            )
        for name, weight in self.weights.items():
            number = isinstance(weight, Real) and 0 <= weight < math.inf
            if not number or (name == self.main and weight == 0):
                raise ValueError(
                    "gradient_modulation.weights: expected a finite factor of at "
                    f"least 0, above 0 for the main loss, got {name}: {weight}"
                )
        if self.shared is not None and not (
            isinstance(self.shared, list | tuple) and self.shared
        ):
            raise ValueError(
                "gradient_modulation.shared: expected a list of modules, "
                f"got {self.shared!r}"
            )

    @classmethod
    def of(cls, settings: Any) -> "Modulation":
        """Make one of a YAML's mapping, or take one as it is.

        Example
        -------
        >>> Modulation.of({"main": "separation", "symmetric": True}).symmetric
        True
        """
        if isinstance(settings, cls):
            return settings
        known = [key.name for key in fields(cls)]
        if not isinstance(settings, Mapping | None):
            raise ValueError(
                f"gradient_modulation: expected keys {known}, got {settings!r}"
            )
        unknown = sorted(set(settings or {}) - set(known))
        if unknown:
            raise ValueError(
                f"gradient_modulation: expected keys {known}, got {unknown}"
            )
        return cls(**(settings or {}))
