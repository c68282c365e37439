"""Trained models in use, a class for each kind of task.

Signals keep their level, their length and what is between their channels: nothing is
normalised around a model, and resampling has no delay. What is longer than a
chunk is processed in constant memory: see `speechbrain_fusion.inference.long_audio`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from speechbrain_fusion.inference.audio_files import process_bytes, process_file
from speechbrain_fusion.inference.many_files import Failure, process_files
from speechbrain_fusion.inference.model import Model
from speechbrain_fusion.inference.signals import Array


class Enhancer(Model):
    """A model that gives back as many channels as it takes.

    Its classes, `SpeechEnhancer` and `BinauralEnhancer`, differ in which channels are
    enhanced together.
    """

    def enhance(self, signal: Array, rate: int) -> Array:
        """Enhance a signal.

        Arguments
        ---------
        signal : np.ndarray or torch.Tensor
            Floating-point samples, shape [time] or [channels, time].
        rate : int
            Its sample rate in Hz. It is resampled to the model's and back, so what is
            above half of the model's rate is not in the result.

        Returns
        -------
        np.ndarray or torch.Tensor
            As what came in: kind, type, shape, level and rate.

        Raises
        ------
        ValueError
            If it is no such signal, naming what was expected.

        Example
        -------
        >>> import numpy as np
        >>> from speechbrain_fusion import inference
        >>> noisy = np.random.randn(2, 44100) / 8
        >>> inference.load().enhance(noisy, rate=44100).shape
        (2, 44100)
        """
        return self.compute([signal], [rate])[0]

    def enhance_batch(self, signals: Sequence[Any], rates: Any) -> list[Any]:
        """Enhance several signals, computed together where they are of like length.

        Arguments
        ---------
        signals : sequence of np.ndarray or torch.Tensor
            As `enhance` takes, of any lengths and kinds.
        rates : int or sequence of int
            One rate in Hz for all, or each one's.

        Returns
        -------
        list of np.ndarray or torch.Tensor
            What `enhance` gives for each, up to rounding.

        Raises
        ------
        ValueError
            If one is no such signal, or there is another number of rates.
        """
        return self.compute(signals, rates)

    def enhance_file(
        self, path: Path | str, output: Path | str, **options: Any
    ) -> Path:
        """Enhance a file, in constant memory.

        Arguments
        ---------
        path : Path or str
            An audio file of any rate.
        output : Path or str
            The file to write, with the rate, the length and the channels of the first.
        **options : dict
            force, channel, subtype, chunk, overlap and tick: see
            `speechbrain_fusion.inference.audio_files.process_file`.

        Returns
        -------
        Path
            The file that was written.

        Raises
        ------
        AudioError
            If anything is wrong with either, naming it; nothing is written then.
        """
        return process_file(self.system, self.rate, path, output, **options)[0]

    def enhance_files(
        self,
        paths: Sequence[Path | str],
        outputs: Sequence[Path | str],
        progress: bool = True,
        **options: Any,
    ) -> list[Failure]:
        """Enhance many files, those of like length together.

        Arguments
        ---------
        paths, outputs : sequence of Path or str
            As many of each: see `enhance_file`.
        progress : bool
            Show how far it is.
        **options : dict
            force, channel, subtype, batch, chunk and overlap: see
            `speechbrain_fusion.inference.many_files.process_files`.

        Returns
        -------
        list of Failure
            Path and reason of those that failed; the others are written.

        Raises
        ------
        ValueError
            If there are not as many of each.
        """
        return process_files(
            self.system, self.rate, paths, outputs, progress=progress, **options
        )

    def enhance_bytes(self, data: bytes, **options: Any) -> bytes:
        """Enhance what a file holds.

        Arguments
        ---------
        data : bytes
            The content of an audio file.
        **options : dict
            channel, subtype, chunk and overlap: see
            `speechbrain_fusion.inference.audio_files.process_bytes`.

        Returns
        -------
        bytes
            The content of a file of the same container, rate, length and channels.

        Raises
        ------
        AudioError
            If anything is wrong with it.
        """
        return process_bytes(self.system, self.rate, data, **options)[0]


class SpeechEnhancer(Enhancer):
    """A model of one channel; of several, each is enhanced on its own.

    Example
    -------
    >>> import torch
    >>> from speechbrain_fusion.models import MaskEnhancer
    >>> network = MaskEnhancer("ratio", (256,), 128, channels=(32, 16), kernel=3)
    >>> model = SpeechEnhancer({"model": network}, {"sample_rate": 8000})
    >>> model.enhance(torch.randn(2, 44100), rate=44100).shape
    torch.Size([2, 44100])
    """

    expected = "a model that enhances one channel"

    @classmethod
    def fits(cls, config: Mapping[str, Any]) -> bool:
        """Say whether a model of these facts is for this class."""
        channels = config["inputs"], config["outputs"]
        return config["task"] == "enhance" and channels == (1, 1)

    def items(self, samples: Tensor) -> list[Tensor]:
        """Split [channels, time] into channels, [1, time] each."""
        return [*samples.split(1)]


class BinauralEnhancer(Enhancer):
    """A model of two ears, or more microphones, that are enhanced together.

    Example
    -------
    >>> import torch
    >>> from speechbrain_fusion.models import BinauralTasNet
    >>> network = BinauralTasNet(N=16, L=8, B=8, H=8, S=12, P=5, X=2, R=1)
    >>> model = BinauralEnhancer({"model": network}, {"sample_rate": 8000})
    >>> model.enhance(torch.randn(2, 16000), rate=16000).shape
    torch.Size([2, 16000])
    """

    expected = "a model that enhances several channels together"

    @classmethod
    def fits(cls, config: Mapping[str, Any]) -> bool:
        """Say whether a model of these facts is for this class."""
        as_many = config["inputs"] == config["outputs"] > 1
        return config["task"] == "enhance" and as_many


class SpeechSeparator(Model):
    """A model that gives the talkers of a mixture, of one channel each.

    Example
    -------
    >>> import torch
    >>> from speechbrain_fusion.models import ConvTasNetMasker, UnifiedSeparator
    >>> maskers = [ConvTasNetMasker(8, masks, 6, 7, 9, 3, 2, 1) for masks in (1, 2)]
    >>> network = UnifiedSeparator(*maskers, channels=8)
    >>> model = SpeechSeparator({"model": network}, {"sample_rate": 8000})
    >>> model.separate(torch.randn(16000), rate=16000).shape
    torch.Size([2, 16000])
    """

    expected = "a model that separates"

    @classmethod
    def fits(cls, config: Mapping[str, Any]) -> bool:
        """Say whether a model of these facts is for this class."""
        return config["task"] == "separate"

    def separate(self, signal: Array, rate: int) -> Array:
        """Separate the talkers of a mixture.

        Arguments
        ---------
        signal : np.ndarray or torch.Tensor
            Floating-point samples of one channel, shape [time] or [1, time].
        rate : int
            Its sample rate in Hz; see `Enhancer.enhance`.

        Returns
        -------
        np.ndarray or torch.Tensor
            As what came in, but [talkers, time].

        Raises
        ------
        ValueError
            If it is no such signal, naming what was expected.
        """
        return self.compute([signal], [rate])[0]

    def separate_batch(self, signals: Sequence[Any], rates: Any) -> list[Any]:
        """Separate several mixtures, computed together where they are of like length.

        Arguments
        ---------
        signals : sequence of np.ndarray or torch.Tensor
            As `separate` takes, of any lengths and kinds.
        rates : int or sequence of int
            One rate in Hz for all, or each one's.

        Returns
        -------
        list of np.ndarray or torch.Tensor
            What `separate` gives for each, up to rounding.

        Raises
        ------
        ValueError
            If one is no such signal, or there is another number of rates.
        """
        return self.compute(signals, rates)

    def separate_file(
        self, path: Path | str, output: Path | str, **options: Any
    ) -> list[Path]:
        """Separate a file of one channel, in constant memory.

        Arguments
        ---------
        path : Path or str
            An audio file of any rate.
        output : Path or str
            Of "talkers.wav" talkers_1.wav and talkers_2.wav are written.
        **options : dict
            See `Enhancer.enhance_file`; `channel` is the one to separate.

        Returns
        -------
        list of Path
            A file for each talker.

        Raises
        ------
        AudioError
            If anything is wrong with either, naming it; nothing is written then.
        """
        return process_file(self.system, self.rate, path, output, **options)

    def separate_files(
        self,
        paths: Sequence[Path | str],
        outputs: Sequence[Path | str],
        progress: bool = True,
        **options: Any,
    ) -> list[Failure]:
        """Separate many files, those of like length together.

        Takes, returns and raises what `Enhancer.enhance_files` does, with outputs as of
        `separate_file`.
        """
        return process_files(
            self.system, self.rate, paths, outputs, progress=progress, **options
        )

    def separate_bytes(self, data: bytes, **options: Any) -> list[bytes]:
        """Separate what a file of one channel holds.

        Arguments
        ---------
        data : bytes
            The content of an audio file.
        **options : dict
            See `Enhancer.enhance_bytes`; `channel` is the one to separate.

        Returns
        -------
        list of bytes
            The content of a file for each talker.

        Raises
        ------
        AudioError
            If anything is wrong with it.
        """
        return process_bytes(self.system, self.rate, data, **options)
