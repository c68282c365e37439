"""Trained models in use, a class for each kind of task.

Signals keep their level, their length and what is between their channels: nothing is
normalised around a model, and resampling has no delay.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from speechbrain.dataio.preprocess import AudioNormalizer
from speechbrain.inference.interfaces import Pretrained
from speechbrain.utils.fetching import FetchConfig, LocalStrategy
from torch import Tensor, nn

from speechbrain_fusion.inference.config import describe
from speechbrain_fusion.inference.files import HYPERPARAMS, find_files
from speechbrain_fusion.inference.opening import check_model, unseeded
from speechbrain_fusion.inference.resampling import resample, resampled_length
from speechbrain_fusion.inference.safe_yaml import MODEL, RATE
from speechbrain_fusion.inference.signals import Array, Signal, check_rate, take
from speechbrain_fusion.inference.weights import check_fit

Loaded = TypeVar("Loaded", bound="Model")

# Seconds of audio, with padding, that are computed at once.
BATCH_SECONDS = 30.0


class Model(Pretrained):
    """What all tasks share: a trained system, its facts and how it is called.

    Made by `load`, or by `from_hparams` as all of SpeechBrain's.

    Arguments
    ---------
    modules : mapping of str to torch.nn.Module
        "model", a `System`.
    hparams : mapping of str to object
        sample_rate, in Hz.
    run_opts : dict or RunOptions, optional
        SpeechBrain's, of which "device" is one.
    freeze_params : bool
        Whether parameters are frozen and the model is in evaluation.

    Attributes
    ----------
    config : dict
        The facts of a model folder: see `speechbrain_fusion.inference.folder`.
    """

    HPARAMS_NEEDED: ClassVar[list[str]] = [RATE]
    MODULES_NEEDED: ClassVar[list[str]] = [MODEL]
    expected: ClassVar[str] = "any model"

    def __init__(
        self,
        modules: Mapping[str, nn.Module] | None = None,
        hparams: Mapping[str, Any] | None = None,
        run_opts: Any = None,
        freeze_params: bool = True,
    ) -> None:
        super().__init__(modules, hparams, run_opts, freeze_params)
        self.train(not freeze_params)
        self.audio_normalizer = AudioNormalizer(self.rate, mix="keep")
        self.config: dict[str, Any] = {RATE: self.rate, **describe(self.system)}
        self.check_task(self.config, type(self.system).__name__)

    @classmethod
    def from_hparams(
        cls: type[Loaded],
        source: Any,
        hparams_file: str = HYPERPARAMS,
        savedir: Path | str | None = None,
        local_strategy: LocalStrategy = LocalStrategy.SYMLINK,
        fetch_config: FetchConfig | None = None,
        trust: bool = False,
        **options: Any,
    ) -> Loaded:
        """Load as all of SpeechBrain's interfaces do, but checked first as by `load`.

        Takes upstream's arguments. Leaves no file anywhere unless there is a savedir.

        Arguments
        ---------
        source : str, Path or FetchSource
            A folder, or a repository of the hub.
        hparams_file : str
            Name of the YAML.
        savedir : Path or str, optional
            Where the files are linked or copied.
        local_strategy, fetch_config
            How they are fetched.
        trust : bool
            Load any YAML, and run what code it names.
        **options : dict
            overrides, overrides_must_match, run_opts, freeze_params: see
            `speechbrain.inference.interfaces.pretrained_from_hparams`.

        Returns
        -------
        Model
            Of this class.

        Raises
        ------
        ValueError
            If there is no such model, it is of another task or it is not safe to load.
        """
        files = find_files(source, hparams_file, savedir, local_strategy, fetch_config)
        config, state = check_model(files, trust, options.get("overrides"))
        cls.check_task(config, str(files.config))
        options["hparams_file"] = files.hyperparams.name
        # what was checked is what is loaded
        folder = str(files.hyperparams.parent)
        model = unseeded(super().from_hparams, source=folder, **options)
        check_fit(model.system, state, files.weights)
        model.config = config
        return model

    @classmethod
    def check_task(cls, config: Mapping[str, Any], name: str) -> None:
        """Refuse a model of another task, naming it."""
        if not cls.fits(config):
            facts = {key: config[key] for key in ("task", "inputs", "outputs")}
            raise ValueError(
                f"{name}: not for {cls.__name__}, expected {cls.expected}, got "
                f"{facts}; speechbrain_fusion.inference.load chooses the class"
            )

    @classmethod
    def fits(cls, config: Mapping[str, Any]) -> bool:
        """Say whether a model of these facts is for this class."""
        return True

    @property
    def system(self) -> Any:
        """The network, a `speechbrain_fusion.models.System`."""
        return self.mods[MODEL]

    @property
    def rate(self) -> int:
        """Sample rate of the network, in Hz."""
        return getattr(self.hparams, RATE)

    @torch.inference_mode()
    def forward(self, signals: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map [batch, inputs, time] at the model's rate to [batch, outputs, time]."""
        lengths = None if lengths is None else lengths.to(self.device)
        return self.system.process(signals.to(self.device), lengths)

    # -- arrays ----------------------------------------------------------------

    def items(self, samples: Tensor) -> list[Tensor]:
        """Split [channels, time] into what the system takes at once.

        Raises
        ------
        ValueError
            If it takes another number of channels, naming both.
        """
        if len(samples) != self.system.inputs:
            raise ValueError(
                f"expected {self.system.inputs} channels, got {len(samples)}"
            )
        return [samples]

    def compute(self, signals: Sequence[Any], rates: Any) -> list[Any]:
        """Process signals of any lengths, kinds and rates, alike in length together.

        Arguments
        ---------
        signals : sequence of np.ndarray or torch.Tensor
            Shape [time] or [channels, time] each.
        rates : int or sequence of int
            One rate in Hz for all, or each one's.

        Returns
        -------
        list of np.ndarray or torch.Tensor
            As what came in.
        """
        taken = [take(signal) for signal in signals]
        each = _rates(rates, len(taken))
        pieces = [self._items_of(*pair) for pair in zip(taken, each, strict=True)]
        flat = [item for items in pieces for item in items]
        done = iter(self._process(flat))
        results = [torch.cat([next(done) for _ in items]) for items in pieces]
        return [
            signal.back(self._to_rate(result, self.rate, rate, signal))
            for signal, result, rate in zip(taken, results, each, strict=True)
        ]

    def _items_of(self, signal: Signal, rate: int) -> list[Tensor]:
        """Split a signal, and bring it to the model's rate."""
        items = self.items(signal.samples)
        if rate == self.rate:
            return items
        length = resampled_length(signal.samples.shape[-1], rate, self.rate)
        return [_resampled(item, rate, self.rate, length) for item in items]

    def _to_rate(self, result: Tensor, source: int, rate: int, to: Signal) -> Tensor:
        if rate == source:
            return result
        return _resampled(result, source, rate, to.samples.shape[-1])

    def _process(self, items: Sequence[Tensor]) -> list[Tensor]:
        """Process items, [inputs, time] each, in batches of like lengths."""
        done: dict[int, Tensor] = {}
        for places in self._batches([item.shape[-1] for item in items]):
            batch = self._process_batch([items[place] for place in places])
            done |= zip(places, batch, strict=True)
        return [done[place] for place in range(len(items))]

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Group places by length, the longest first."""
        limit, batch = BATCH_SECONDS * self.rate, list[int]()
        for place in sorted(range(len(lengths)), key=lambda x: -lengths[x]):
            if batch and lengths[batch[0]] * (len(batch) + 1) > limit:
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def _process_batch(self, items: Sequence[Tensor]) -> list[Tensor]:
        sizes = [item.shape[-1] for item in items]
        padded = [nn.functional.pad(x, (0, sizes[0] - x.shape[-1])) for x in items]
        lengths = None
        if min(sizes) < sizes[0]:
            lengths = torch.tensor(sizes) / sizes[0]
        batch = self(torch.stack(padded), lengths).float().cpu()
        return [out[:, :size] for out, size in zip(batch, sizes, strict=True)]


class Enhancer(Model):
    """A model that gives back as many channels as it takes."""

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


class SpeechEnhancer(Enhancer):
    """A model of one channel; of several, each is enhanced on its own.

    Example
    -------
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


def _rates(rates: Any, number: int) -> list[int]:
    """Check one rate for all, or one for each."""
    if not isinstance(rates, Sequence):
        return [check_rate(rates)] * number
    if len(rates) != number:
        raise ValueError(f"rates: expected {number}, one a signal, got {len(rates)}")
    return [check_rate(rate) for rate in rates]


def _resampled(samples: Tensor, source: int, target: int, length: int) -> Tensor:
    return torch.from_numpy(resample(samples.numpy(), source, target, length).copy())
