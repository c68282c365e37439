"""The passes of joint training: what the losses of a shared latent space compare.

All clips go through the mixture encoder at once, so that its batch norm knows clean and
noisy speech by the same measure.

Source: see `speechbrain_fusion.models.shared_latent`. Clips with noise added are ours.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from speechbrain_fusion.models.speech_autoencoder import Decoded, join
from speechbrain_fusion.nnet.level import to_unit_power


class JointInputs(NamedTuple):
    """What goes into joint training beside the mixtures, and what is wanted.

    Attributes
    ----------
    speech : sequence of bool
        Which of the mixtures have speech, the others being noise alone.
    clean : torch.Tensor or None
        Clean clips, unrelated to the mixtures, [batch, time].
    added : torch.Tensor or None
        More noise, at the level at which the mixtures hear it, [batch, time].
    cycle : bool
        Whether what is enhanced goes back to the mixture.
    anchor : bool
        Whether clean clips go through the mixture encoder.
    noisier : bool
        Whether mixtures also come with the noise added.
    remix : bool
        Whether clean clips do.
    """

    speech: Sequence[bool]
    clean: Tensor | None = None
    added: Tensor | None = None
    cycle: bool = True
    anchor: bool = True
    noisier: bool = False
    remix: bool = False


class Cycle(NamedTuple):
    """What comes back of a mixture that went through the clean decoders.

    Attributes
    ----------
    decoded : Decoded
        Of the mixtures with speech: amplitude and phase.
    again : torch.Tensor or None
        Spectrum of the signal that both make, analysed again, [batch, 2, frames,
        bins]; None where amplitudes are taken as they are.
    latent : torch.Tensor
        The speech encoder's of it, [batch, channels, frames].
    mixture : torch.Tensor
        What the mixture decoder makes of that.
    """

    decoded: Decoded
    again: Tensor | None
    latent: Tensor
    mixture: Tensor


class Clean(NamedTuple):
    """Clean clips in both encoders.

    Attributes
    ----------
    signal : torch.Tensor
        The clips, [batch, time].
    spectrum : torch.Tensor
        Of the clips, [batch, 2, frames, bins].
    latent : torch.Tensor
        The speech encoder's, [batch, channels, frames].
    decoded : Decoded or None
        By way of the mixture encoder, if that is wanted.
    estimate : torch.Tensor or None
        What that sounds like, [batch, time].
    remixed : Decoded or None
        By way of the mixture encoder, with noise added, if that is wanted.
    """

    signal: Tensor
    spectrum: Tensor
    latent: Tensor
    decoded: Decoded | None
    estimate: Tensor | None
    remixed: Decoded | None


class Joint(NamedTuple):
    """What the losses of joint training are about.

    Spectra are compressed, of signals at unit power, in float32 (or float64).

    Attributes
    ----------
    spoken, noise : torch.Tensor
        Places of the mixtures with speech and of the others.
    noisy : torch.Tensor
        Spectrum of the mixtures, [batch, 2, frames, bins].
    mixture : torch.Tensor
        What their own decoder makes of them: spectra, or amplitudes [batch, frames,
        bins] where there is no phase decoder.
    decoded : Decoded
        What the clean decoders make of them.
    cycle : Cycle or None
        Of those with speech, if it is wanted and there are any.
    noisier : torch.Tensor or None
        Latents of those with speech, with noise added, [batch, channels, frames], if
        that is wanted and there are any.
    clean : Clean or None
        Clean clips, if they were given.
    """

    spoken: Tensor
    noise: Tensor
    noisy: Tensor
    mixture: Tensor
    decoded: Decoded
    cycle: Cycle | None
    noisier: Tensor | None
    clean: Clean | None


def joint_passes(model: Any, mixture: Tensor, given: JointInputs) -> Joint:
    """Pass mixtures and clean clips, and both with noise added, through everything.

    Arguments
    ---------
    model : SharedLatentEnhancer
        The networks.
    mixture : torch.Tensor
        Shape [batch, time]; no padding.
    given : JointInputs
        The rest, and what is wanted.

    Returns
    -------
    Joint
        What the losses are about.

    Raises
    ------
    ValueError
        If a clip has another shape than the mixtures, or what is wanted lacks clips.

    Example
    -------
    >>> from speechbrain_fusion.models import SharedLatentEnhancer, SpeechAutoencoder
    >>> speech = SpeechAutoencoder((512, 256), 128, channels=(64, 32), kernel=1)
    >>> model = SharedLatentEnhancer(speech, channels=(64, 64, 32), kernel=3)
    >>> given = JointInputs([True, True, False], clean=torch.randn(3, 8000))
    >>> joint = joint_passes(model, torch.randn(3, 8000), given)
    >>> joint.decoded.latent.shape, joint.cycle.latent.shape
    (torch.Size([3, 32, 65]), torch.Size([2, 32, 65]))
    """
    _check(mixture, given)
    stft, spoken, noise = model.speech.stft, *_places(mixture, given.speech)
    clips = _clips(mixture, given, spoken)
    signals = torch.cat([*clips.values()])
    spectrum = stft.analyze(signals)
    spectra = _split(spectrum, clips)
    features = _split(stft.features(signals, None, spectrum), clips)
    through = {x: features[x] for x in clips if x != "clean" or given.anchor}
    latents = _split(model.encode(torch.cat([*through.values()])), through)
    decoded = model.speech.decode(latents["mixture"], None, model.training)
    way = None
    if given.cycle and len(spoken):
        noisy = spectra["mixture"][spoken]
        way = _way_back(model.speech, _only(decoded, spoken), noisy, mixture)
    heard = [latents["mixture"]] if way is None else [latents["mixture"], way[2]]
    rebuilt = _decode_mixtures(model, heard)
    return Joint(
        spoken=spoken,
        noise=noise,
        noisy=spectra["mixture"],
        mixture=rebuilt[0],
        decoded=decoded,
        cycle=None if way is None else Cycle(*way, rebuilt[1]),
        noisier=latents.get("noisier"),
        clean=_clean(model, clips, spectra, features, latents),
    )


def _split(x: Tensor, clips: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take a batch of all clips apart, and name its parts as they are named."""
    return dict(zip(clips, x.split([len(x) for x in clips.values()]), strict=True))


def _check(mixture: Tensor, given: JointInputs) -> None:
    for name, clips in {"clean": given.clean, "added": given.added}.items():
        if clips is not None and clips.shape != mixture.shape:
            raise ValueError(
                f"{name}: expected shape {tuple(mixture.shape)}, got "
                f"{tuple(clips.shape)}"
            )
    if (given.noisier or given.remix) and given.added is None:
        raise ValueError("noisier, remix: expected added noise, got None")
    if given.remix and given.clean is None:
        raise ValueError("remix: expected clean clips, got None")


def _places(mixture: Tensor, speech: Sequence[bool]) -> tuple[Tensor, Tensor]:
    """Tell where there is speech and where not, without asking the device."""
    if len(speech) != len(mixture):
        raise ValueError(f"speech: expected {len(mixture)} items, got {len(speech)}")
    places = [[i for i, x in enumerate(speech) if x == kind] for kind in (True, False)]
    spoken, noise = (
        torch.tensor(x, dtype=torch.long, device=mixture.device) for x in places
    )
    return spoken, noise


def _clips(mixture: Tensor, given: JointInputs, spoken: Tensor) -> dict[str, Tensor]:
    """Name everything that is encoded, at unit power."""
    unit, gain = to_unit_power(mixture, None)
    clips = {"mixture": unit}
    clean = None if given.clean is None else to_unit_power(given.clean, None)[0]
    if given.added is not None:
        added = gain * given.added
        if given.noisier and len(spoken):
            clips["noisier"], _ = to_unit_power((unit + added)[spoken], None)
        if given.remix and clean is not None:
            clips["remixed"], _ = to_unit_power(clean + added, None)
    if clean is not None:
        clips["clean"] = clean
    return clips


def _only(decoded: Decoded, places: Tensor) -> Decoded:
    phase = None if decoded.phase is None else decoded.phase[places]
    return Decoded(decoded.latent[places], decoded.amplitude[places], phase)


def _way_back(
    speech: Any, decoded: Decoded, noisy: Tensor, mixture: Tensor
) -> tuple[Decoded, Tensor | None, Tensor]:
    """Encode as speech what was decoded: the first three parts of a `Cycle`."""
    if decoded.phase is None and len(speech.stft.fft_sizes) == 1:
        # its amplitudes are all that the encoder hears
        return decoded, None, speech.encode(decoded.amplitude.mT)
    signal = _sound(speech, decoded, noisy, mixture)
    again = speech.stft.analyze(signal)
    return decoded, again, speech.encode(speech.stft.features(signal, None, again))


def _sound(speech: Any, decoded: Decoded, spectrum: Tensor, mixture: Tensor) -> Tensor:
    joined = join(decoded.amplitude, decoded.phase, spectrum)
    return speech.stft.synthesize(joined, mixture.shape[-1])


def _decode_mixtures(model: Any, latents: list[Tensor]) -> tuple[Tensor, ...]:
    """Decode latents to mixtures, all at once for the sake of batch norm."""
    heard = torch.cat(latents)
    if model.training:
        heard = model.speech.disturb(heard)
    return model.decode_mixture(heard).split([len(x) for x in latents])


def _clean(
    model: Any,
    clips: dict[str, Tensor],
    spectra: dict[str, Tensor],
    inputs: dict[str, Tensor],
    latents: dict[str, Tensor],
) -> Clean | None:
    """Encode clean clips as speech, and decode what they are to the mixture encoder."""
    if "clean" not in clips:
        return None
    with torch.no_grad():
        target = model.speech.encode(inputs["clean"])
    decoded, remixed = (
        model.speech.decode(latents[name], None, model.training)
        if name in latents
        else None
        for name in ("clean", "remixed")
    )
    signal, spectrum = clips["clean"], spectra["clean"]
    estimate = None
    if decoded is not None:
        estimate = _sound(model.speech, decoded, spectrum, signal)
    return Clean(signal, spectrum, target, decoded, estimate, remixed)
