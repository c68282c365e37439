"""Systems that do something simple, to see what is made of it."""

import torch
from torch import Tensor


class Through:
    """Gives back what it gets, and counts its calls."""

    task, causal = "enhance", False

    def __init__(self, inputs: int = 1, gain: float = 1.0) -> None:
        self.inputs = self.outputs = inputs
        self.gain, self.calls = gain, []

    def process(self, signals: Tensor, lengths: Tensor | None = None) -> Tensor:
        self.calls.append(tuple(signals.shape))
        return self.gain * signals


class Levelled(Through):
    """Brings its input to one level inside, compresses it there, and undoes the level.

    So do systems that are trained on signals of one level.
    """

    def process(self, signals: Tensor, lengths: Tensor | None = None) -> Tensor:
        self.calls.append(tuple(signals.shape))
        level = signals.square().mean(-1, keepdim=True).sqrt() + 1e-9
        return level * torch.tanh(signals / level)


class Bands:
    """Separates talkers by their bands, exactly, and numbers them anew at every call.

    Arguments
    ---------
    talkers : int
        Each has its share of the frequencies, the lowest first.
    leak : float
        Amplitude of every other talker in an estimate.
    noise : float
        RMS of noise that an estimate has, other noise at each call.
    soft : float
        RMS of a quarter of a second of the mixture below which estimates are in any
        order, another at each call: whose background noise is, nobody can know.
    """

    task, causal, inputs = "separate", False, 1

    def __init__(
        self,
        talkers: int = 2,
        leak: float = 0.0,
        noise: float = 0.0,
        soft: float = 0.0,
        frame: int = 250,
    ) -> None:
        self.outputs, self.leak, self.noise = talkers, leak, noise
        self.soft, self.frame = soft, frame
        self.random = torch.Generator().manual_seed(0)
        self.seconds = 0

    def process(self, signals: Tensor, lengths: Tensor | None = None) -> Tensor:
        self.seconds += signals.shape[-1]
        own = in_bands(signals.squeeze(1), self.outputs)
        found = (1 - self.leak) * own + self.leak * own.sum(1, keepdim=True)
        found += self.noise * torch.randn(found.shape, generator=self.random)
        order = torch.randperm(self.outputs, generator=self.random)
        if not self.soft:
            return found[:, order]
        again = torch.randperm(self.outputs, generator=self.random)
        frames = zip(
            found.split(self.frame, -1), signals.split(self.frame, -1), strict=True
        )
        level = self.soft**2
        return torch.cat(
            [y[:, order if x.square().mean() >= level else again] for y, x in frames],
            -1,
        )


def in_bands(mixture: Tensor, talkers: int) -> Tensor:
    """Cut [batch, time] into equal bands: [batch, talkers, time]."""
    spectrum = torch.fft.rfft(mixture)
    bins = torch.arange(spectrum.shape[-1]) * talkers // spectrum.shape[-1]
    own = bins == torch.arange(talkers).unsqueeze(-1)
    return torch.fft.irfft(spectrum.unsqueeze(1) * own, mixture.shape[-1])


def conversation(
    seconds: float, rate: int, talkers: int = 2, seed: int = 0, longest: float = 30.0
) -> Tensor:
    """Make talkers [talkers, time], each in its band, who speak in turns and at once.

    Turns of 1 to 6 s, pauses of up to `longest` of one, several or all.
    """
    random = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=random))

    time = round(seconds * rate)
    speaks = torch.zeros(talkers, time)
    for talker in range(talkers):
        at = 0.0
        while at < seconds:
            turn = uniform(1.0, 6.0)
            speaks[talker, round(at * rate) : round((at + turn) * rate)] = 1.0
            pause = uniform(0.0, 3.0)
            at += turn + (pause if uniform(0, 1) < 0.7 else uniform(3.0, longest))
    # all of them are silent for longer than chunks overlap, and longer than a chunk
    for share in (0.2, 0.45, 0.8):
        start = round(share * time)
        speaks[:, start : start + round(uniform(5.0, 12.0) * rate)] = 0.0
    syllables = torch.randn(talkers, time // (rate // 4) + 2, generator=random).abs()
    envelope = torch.nn.functional.interpolate(
        syllables.unsqueeze(0), scale_factor=rate // 4, mode="linear"
    )[0, :, :time]
    voices = in_bands(torch.randn(talkers, time, generator=random), talkers)
    voices = voices[torch.arange(talkers), torch.arange(talkers)]
    return 0.1 * voices * envelope * speaks
