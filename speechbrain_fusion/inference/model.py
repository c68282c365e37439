"""What all tasks share: a trained system, and arrays of any kind through it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from speechbrain.dataio.preprocess import AudioNormalizer
from speechbrain.inference.interfaces import Pretrained
from speechbrain.utils.fetching import FetchConfig, LocalStrategy
from torch import Tensor, nn

from speechbrain_fusion.inference.batches import group_by_length, process_padded
from speechbrain_fusion.inference.config import describe, purpose, read_config
from speechbrain_fusion.inference.files import HYPERPARAMS, ModelFiles, find_files
from speechbrain_fusion.inference.limits import check_rate
from speechbrain_fusion.inference.long_audio import CHUNK, process_array, together
from speechbrain_fusion.inference.opening import open_model, unseeded
from speechbrain_fusion.inference.resampling import resample, resampled_length
from speechbrain_fusion.inference.safe_yaml import MODEL, MODULES, RATE
from speechbrain_fusion.inference.signals import Signal, take
from speechbrain_fusion.inference.streaming import Stream
from speechbrain_fusion.inference.weights import check_fit, read_weights

Loaded = TypeVar("Loaded", bound="Model")


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

        Takes upstream's arguments but download_only. Leaves no file anywhere unless
        there is a savedir.

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
        cls.check_task(read_config(files.config), str(files.config))
        if trust:
            return cls._trusted(files, **options)
        changes = options.pop("overrides", None)
        matching = options.pop("overrides_must_match", True)
        config, hparams = open_model(files, changes, matching)
        model = cls(hparams[MODULES], {**hparams, "savedir": savedir}, **options)
        model.config = config
        return model

    @classmethod
    def _trusted(cls: type[Loaded], files: ModelFiles, **options: Any) -> Loaded:
        """Load whatever the YAML names; parameters are still tensors alone."""
        config, state = read_config(files.config), read_weights(files.weights)
        options["hparams_file"] = files.hyperparams.name
        folder = str(files.hyperparams.parent)
        model = unseeded(super().from_hparams, source=folder, **options)
        check_fit(model.system, state, files.weights)
        model.config = config
        return model

    @classmethod
    def check_task(cls, config: Mapping[str, Any], name: str) -> None:
        """Refuse a model of another task, naming it."""
        if not cls.fits(config):
            got = purpose(config)
            raise ValueError(
                f"{name}: not for {cls.__name__}, expected {cls.expected}, got {got}; "
                "speechbrain_fusion.inference.load chooses the class"
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
        """Process items, [inputs, time] each, those of like length together."""
        lengths = [item.shape[-1] for item in items]
        chunk = CHUNK * self.rate
        room = together(self.system) * chunk
        done: dict[int, Tensor] = {}
        for places in group_by_length(lengths, [1] * len(items), chunk, room):
            if lengths[places[0]] > chunk:
                found = [process_array(self.system, items[places[0]], self.rate)]
            else:
                batch = [items[place].unsqueeze(0) for place in places]
                found = [x.squeeze(0) for x in process_padded(self.system, batch)]
            done |= zip(places, found, strict=True)
        return [done[place] for place in range(len(items))]

    # -- streams ---------------------------------------------------------------

    def stream(self, batch: int = 1, block: int | None = None) -> Stream:
        """Begin to process signals while they are being heard.

        Arguments
        ---------
        batch : int
            Signals at a time, at the model's rate.
        block : int, optional
            Samples of the steps to come, which then take half to two thirds of the
            time.

        Returns
        -------
        Stream
            See `speechbrain_fusion.inference.streaming`.

        Raises
        ------
        ValueError
            If the model is not causal, or the batch or the block is empty.
        """
        return Stream(self.system, batch, block)


def _rates(rates: Any, number: int) -> list[int]:
    """Check one rate for all, or one for each."""
    if isinstance(rates, np.ndarray | Tensor) and rates.ndim:
        rates = rates.tolist()
    if not isinstance(rates, Sequence):
        return [check_rate(rates)] * number
    if len(rates) != number:
        raise ValueError(f"rates: expected {number}, one a signal, got {len(rates)}")
    return [check_rate(rate) for rate in rates]


def _resampled(samples: Tensor, source: int, target: int, length: int) -> Tensor:
    return torch.from_numpy(resample(samples.numpy(), source, target, length).copy())
