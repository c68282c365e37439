"""The passes of joint training: what the losses of a shared latent space compare.

All clips go through the mixture encoder at once, so that its batch norm knows clean and
noisy speech by the same measure.

Source: see `speechbrain_fusion.models.shared_latent`. Clips with noise added are ours.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from speechbrain_fusion.models.speech_autoencoder import Decoded, join, to_unit_power

# dB of a clip over the noise that is added to it.
ADDED_SNR = (-5.0, 5.0)


class JointInputs(NamedTuple):
    """What goes into joint training beside the mixtures.

    Attributes
    ----------
    speech : torch.Tensor
        Which of the mixtures have speech, the others being noise alone: boolean,
        [batch].
    clean : torch.Tensor or None
        Clean clips, unrelated to the mixtures, [batch, time].
    cycle : bool
        Whether what is enhanced goes back to the mixture.
    noisier : bool
        Whether mixtures also come with noise added, that of the items that are noise.
    remix : bool
        Whether clean clips do.
    """

    speech: Tensor
    clean: Tensor | None = None
    cycle: bool = True
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


class Anchor(NamedTuple):
    """Clean clips in both encoders.

    Attributes
    ----------
    latent : torch.Tensor
        The speech encoder's, [batch, channels, frames].
    spectrum : torch.Tensor
        Of the clips, [batch, 2, frames, bins].
    decoded : Decoded
        By way of the mixture encoder.
    signal, estimate : torch.Tensor
        The clips, and what was decoded of them, [batch, time].
    """

    latent: Tensor
    spectrum: Tensor
    decoded: Decoded
    signal: Tensor
    estimate: Tensor


class Joint(NamedTuple):
    """What the losses of joint training are about.

    Spectra are compressed, of signals at unit power, in float32 (or float64).

    Attributes
    ----------
    noisy : torch.Tensor
        Spectrum of the mixtures, [batch, 2, frames, bins].
    mixture : torch.Tensor
        What their own decoder makes of them: spectra, or amplitudes [batch, frames,
        bins] where there is no phase decoder.
    decoded : Decoded
        What the clean decoders make of them.
    speech : torch.Tensor
        Which mixtures have speech: boolean, [batch].
    cycle : Cycle or None
        Of those, if it is wanted and there are any.
    anchor : Anchor or None
        Clean clips, if they were given.
    noisier : torch.Tensor or None
        Latents of the mixtures with speech, with noise added, [batch, channels,
        frames], if that is wanted and there are such items.
    remixed : Decoded or None
        Of the clean clips, with noise added, likewise.
    """

    noisy: Tensor
    mixture: Tensor
    decoded: Decoded
    speech: Tensor
    cycle: Cycle | None
    anchor: Anchor | None
    noisier: Tensor | None
    remixed: Decoded | None


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
    """
    speech, training = model.speech, model.training
    clips = _clips(mixture, given)
    signals, sizes = torch.cat([*clips.values()]), [len(x) for x in clips.values()]
    spectrum = speech.stft.analyze(signals)
    features = speech.stft.features(signals, None, spectrum)
    split = (x.split(sizes) for x in (model.encode(features), spectrum, features))
    latents, spectra, inputs = (dict(zip(clips, x, strict=True)) for x in split)
    decoded = {
        name: speech.decode(latents[name], None, training)
        for name in clips
        if name != "noisier"
    }
    anchor = None
    if "clean" in clips:
        with torch.no_grad():
            target = speech.encode(inputs["clean"])
        estimate = _sound(speech, decoded["clean"], spectra["clean"], mixture.shape[-1])
        anchor = Anchor(
            target, spectra["clean"], decoded["clean"], clips["clean"], estimate
        )
    cycle = None
    if given.cycle and given.speech.any():
        cycle = _cycle(model, decoded["mixture"], spectra["mixture"], mixture, given)
    back = [latents["mixture"], *([] if cycle is None else [cycle.latent])]
    rebuilt = _decode_mixtures(model, back)
    return Joint(
        noisy=spectra["mixture"],
        mixture=rebuilt[0],
        decoded=decoded["mixture"],
        speech=given.speech,
        cycle=None if cycle is None else cycle._replace(mixture=rebuilt[1]),
        anchor=anchor,
        noisier=latents.get("noisier"),
        remixed=decoded.get("remixed"),
    )


def _clips(mixture: Tensor, given: JointInputs) -> dict[str, Tensor]:
    """Name everything that is encoded, at unit power."""
    unit, _ = to_unit_power(mixture, None)
    noise, clips = unit[~given.speech], {"mixture": unit}
    if given.clean is not None:
        clips["clean"], _ = to_unit_power(given.clean, None)
    if given.noisier and given.speech.any() and len(noise):
        clips["noisier"] = add_noise(unit[given.speech], noise)
    if given.remix and "clean" in clips and len(noise):
        clips["remixed"] = add_noise(clips["clean"], noise)
    return clips


def add_noise(clips: Tensor, noise: Tensor) -> Tensor:
    """Add noise at random signal-to-noise ratios, from the global random state.

    Arguments
    ---------
    clips : torch.Tensor
        At unit power, [batch, time].
    noise : torch.Tensor
        Likewise, [any number, time], taken in turn.

    Returns
    -------
    torch.Tensor
        At unit power, [batch, time].

    Example
    -------
    >>> add_noise(torch.ones(3, 8), torch.ones(2, 8)).square().mean().round(decimals=3)
    tensor(1.)
    """
    turns = torch.arange(len(clips), device=clips.device) % len(noise)
    low, high = ADDED_SNR
    snr = low + (high - low) * torch.rand(len(clips), 1, device=clips.device)
    return to_unit_power(clips + 10 ** (-snr / 20) * noise[turns], None)[0]


def _decode_mixtures(model: Any, latents: list[Tensor]) -> tuple[Tensor, ...]:
    """Decode latents to mixtures, all at once for the sake of batch norm."""
    heard = torch.cat(latents)
    if model.training:
        heard = model.speech.disturb(heard)
    return model.decode_mixture(heard).split([len(x) for x in latents])


def _sound(speech: Any, decoded: Decoded, spectrum: Tensor, time: int) -> Tensor:
    joined = join(decoded.amplitude, decoded.phase, spectrum)
    return speech.stft.synthesize(joined, time)


def _cycle(
    model: Any, decoded: Decoded, noisy: Tensor, mixture: Tensor, given: JointInputs
) -> Cycle | None:
    """Take what was decoded of mixtures with speech back to mixtures."""
    if not given.cycle:
        return None
    stft, own = model.speech.stft, given.speech
    phase = None if decoded.phase is None else decoded.phase[own]
    spoken = Decoded(decoded.latent[own], decoded.amplitude[own], phase)
    again = None
    if phase is None and len(stft.fft_sizes) == 1:
        features = spoken.amplitude.mT
    else:
        signal = _sound(model.speech, spoken, noisy[own], mixture.shape[-1])
        again = stft.analyze(signal)
        features = stft.features(signal, None, again)
    latent = model.speech.encode(features)
    return Cycle(spoken, again, latent, latent)
