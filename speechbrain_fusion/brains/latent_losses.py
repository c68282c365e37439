"""Losses of a shared latent space: which there are, and what each of them compares.

Source: see `speechbrain_fusion.models.shared_latent`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from speechbrain_fusion.brains.rehearsal import check_weights
from speechbrain_fusion.models.joint import Joint
from speechbrain_fusion.models.speech_autoencoder import Rebuilt

# of stage one
SPEECH = ("amplitude", "phase", "prior", "complex_cycle", "multi_resolution")
# of stage two
GROUPS = {
    "reconstruction": (
        *("mixture", "cycle", "complex_cycle", "pure_noise", "multi_resolution"),
    ),
    "latent": ("latent", "prior", "anchor", "spread", "invariance", "remix"),
}
JOINT = [name for names in GROUPS.values() for name in names]
# which of them clean clips have a part in, and which need more noise
CLEAN = ("anchor", "spread", "remix", "multi_resolution")
ADDED = ("invariance", "remix")
SPOKEN, NOISE = "spoken", "noise"
# of which of the mixtures a loss is, if not of all
KINDS = {
    **dict.fromkeys(("cycle", "complex_cycle", "latent", "spread"), SPOKEN),
    **{"invariance": SPOKEN, "pure_noise": NOISE},
}
Arguments = tuple[Any, ...]


def check_speech_losses(
    hparams: Mapping[str, Any], phase: bool, kind: str = ""
) -> None:
    """Refuse losses of stage one that do not exist or that nothing is there for.

    Arguments
    ---------
    hparams : mapping of str to object
        losses and loss_weights.
    phase : bool
        Whether phases are decoded.
    kind : str
        What the names of these keys begin with.

    Raises
    ------
    ValueError
        Naming the key and what was expected.

    Example
    -------
    >>> given = {"speech_losses": {"prior": None}, "speech_loss_weights": {"prior": 1}}
    >>> check_speech_losses(given, phase=False, kind="speech_")
    """
    losses, weights = hparams[f"{kind}losses"], hparams[f"{kind}loss_weights"]
    _check_known(losses, SPEECH, kind)
    check_weights(losses, weights, kind)
    if not phase:
        _check_without_phase(weights, ("phase", "complex_cycle"), kind)


def check_joint_losses(
    hparams: Mapping[str, Any], phase: bool, granularity: str
) -> None:
    """Refuse losses of stage two that do not exist or that nothing is there for.

    Arguments
    ---------
    hparams : mapping of str to object
        losses and loss_weights.
    phase : bool
        Whether phases are decoded.
    granularity : str
        Of the modulation, which, if it is not "none", needs a loss of each group.

    Raises
    ------
    ValueError
        Naming the key and what was expected.

    Example
    -------
    >>> given = {"losses": {"mixture": None}, "loss_weights": {"mixture": 1.0}}
    >>> check_joint_losses(given, phase=False, granularity="none")
    """
    losses, weights = hparams["losses"], hparams["loss_weights"]
    _check_known(losses, JOINT)
    if not phase:
        _check_without_phase(weights, ("complex_cycle",))
    for group, names in GROUPS.items():
        if granularity != "none" and not any(weights.get(name) for name in names):
            raise ValueError(
                f"gradient_modulation: expected a weight that is not 0 of a {group} "
                f"loss, {[*names]}"
            )


def _check_known(losses: Iterable[str], known: Iterable[str], kind: str = "") -> None:
    if unknown := sorted(set(losses) - set(known)):
        raise ValueError(f"{kind}losses: expected some of {[*known]}, got {unknown}")


def _check_without_phase(
    weights: Mapping[str, float], names: Iterable[str], kind: str = ""
) -> None:
    for name in names:
        if weights.get(name, 0) != 0:
            raise ValueError(
                f"{kind}loss_weights: expected 0 for {name}, there is no phase decoder"
            )


def speech_arguments(rebuilt: Rebuilt, samples: Tensor | None) -> dict[str, Arguments]:
    """Say what each loss of stage one compares.

    Arguments
    ---------
    rebuilt : Rebuilt
        What the autoencoder returns.
    samples : torch.Tensor or None
        Relative lengths of the signals, [batch]; None for clips of one length.

    Returns
    -------
    dict of str to tuple
        The losses' arguments by their names in the YAML.
    """
    decoded, frames = rebuilt.decoded, rebuilt.lengths
    return {
        "amplitude": (rebuilt.spectrum, decoded.amplitude, frames),
        "phase": (rebuilt.spectrum, decoded.phase, frames),
        "prior": (decoded.latent, frames),
        "complex_cycle": (*decoded[1:], rebuilt.again, frames),
        "multi_resolution": (rebuilt.signal, rebuilt.estimate, samples),
    }


def joint_arguments(joint: Joint) -> dict[str, Arguments | None]:
    """Say what each loss of stage two compares; None where a batch has nothing for it.

    Arguments
    ---------
    joint : Joint
        What the enhancer returns.

    Returns
    -------
    dict of str to tuple or None
        The losses' arguments by their names in the YAML.
    """
    found: dict[str, Arguments | None] = dict.fromkeys(JOINT)
    found["mixture"] = joint.noisy, joint.mixture
    found["prior"] = (joint.decoded.latent,)
    if len(joint.noise):
        found["pure_noise"] = (joint.decoded.amplitude[joint.noise],)
    spoken = joint.decoded.latent[joint.spoken]
    if (own := joint.cycle) is not None:
        found["latent"] = spoken, own.latent
        found["cycle"] = joint.noisy[joint.spoken], own.mixture
        if own.again is not None and own.decoded.phase is not None:
            found["complex_cycle"] = own.decoded.amplitude, own.decoded.phase, own.again
    if joint.noisier is not None:
        found["invariance"] = spoken.detach(), joint.noisier
    if (clean := joint.clean) is not None:
        pair = clean.latent, clean.spectrum
        if len(joint.spoken):
            found["spread"] = clean.latent[joint.spoken], spoken
        if clean.decoded is not None:
            found["anchor"] = (pair, *clean.decoded)
            found["multi_resolution"] = clean.signal, clean.estimate
        if clean.remixed is not None:
            found["remix"] = (pair, *clean.remixed)
    return found
