"""The two-branch network beside SpeechBrain's spectral mask of as many parameters.

    python benchmarks/spectral_enhancement.py [--batch 8] [--seconds 3]
        [--recording 10] [--precision bf16] [--device cuda]

The peer is `EnhanceResnet`, a real mask on the STFT, its channels narrowed until it is
as large, at the same window, hop and rate. Prints for training (forward, loss on
signals and spectra, backward, Adam) and for enhancing whole recordings: seconds of
audio per second, the real-time factor, peak memory, and the ratio of the times,
rounds interleaved. Each system's memory is measured in a new process.
"""

import argparse
import contextlib
import functools
from collections.abc import Callable

import torch
from measure import (
    clock,
    in_new_process,
    interleave,
    middle,
    options,
    parse,
    peak_memory,
    print_table,
    ratio,
    record,
    watch_memory,
)
from speechbrain.lobes.models.EnhanceResnet import EnhanceResnet
from systems import make as make_system
from torch import Tensor, nn

from speechbrain_fusion.losses import complex_loss, magnitude_loss

RATE = 16000
Way = Callable[[], object]


def main() -> None:
    """Measure and print both tables."""
    parser = options(__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--recording", type=float, default=10.0)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    arguments = parse(parser, device=True)
    training = arguments.batch * arguments.seconds
    audio_of = {"inference": arguments.recording, "training": training}
    memory = {
        (name, task): in_new_process(measure_memory, name, task, arguments)
        for task in audio_of
        for name in SYSTEMS
    }
    for task, audio in audio_of.items():
        print(f"\n{task.capitalize()}, {audio:g} s of audio at once\n")
        tabulate(task, audio, memory, arguments)


def tabulate(
    task: str,
    audio: float,
    memory: dict[tuple[str, str], float],
    arguments: argparse.Namespace,
) -> None:
    """Measure the times of a task, and print them and the memory."""
    ways = {name: make(name, task, arguments) for name in SYSTEMS}
    seconds = interleave(ways, arguments.rounds, arguments.device, arguments.clock)
    title, case = "Two-branch network beside EnhanceResnet", f"{task}, {audio:g} s"
    for kind, unit, found in (
        ("", "s", [seconds[name] for name in SYSTEMS]),
        (", memory", "MiB", [memory[name, task] for name in SYSTEMS]),
    ):
        record(title, case + kind, found[0], unit, "SpeechBrain", found[1])
    header = ("system", "parameters", "audio s / s", "real-time factor")
    rows = (
        (
            name,
            sum(p.numel() for p in SYSTEMS[name]().parameters()),
            f"{audio / middle(times):.2f}",
            f"{middle(times) / audio:.3f}",
            ratio(times, seconds["EnhanceResnet"]),
            f"{memory[name, task]:.0f}",
        )
        for name, times in seconds.items()
    )
    print_table((*header, "time of EnhanceResnet's", "memory, MiB"), rows)


def peer() -> nn.Module:
    """Make SpeechBrain's network, narrowed."""
    widths = [48, 48, 96, 96, 192, 192]
    sizes = {"n_fft": 320, "win_length": 20, "hop_length": 10}
    return EnhanceResnet(**sizes, channel_counts=widths, dense_nodes=512)


def peer_loss(model: nn.Module, noisy: Tensor, clean: Tensor) -> Tensor:
    """Compare signals and compressed magnitudes."""
    signal, features = model(noisy)
    target = model.extract_feats(model.stft(clean[:, : signal.shape[1]]))
    error = (signal - clean[:, : signal.shape[1]]).square().mean()
    return error + (features[:, : target.shape[1]] - target).square().mean()


def our_loss(model: nn.Module, noisy: Tensor, clean: Tensor) -> Tensor:
    """Add both losses of the recipe, and one on signals as the peer's."""
    enhanced = model(noisy, clean=clean)
    spectra = magnitude_loss(enhanced.clean, enhanced.magnitude)
    spectra = spectra + complex_loss(enhanced.clean, enhanced.spectrum)
    return spectra + (enhanced.signal - clean).square().mean()


SYSTEMS: dict[str, Callable[[], nn.Module]] = {
    "two branches": functools.partial(make_system, "two_branch"),
    "EnhanceResnet": peer,
}
LOSSES = {"two branches": our_loss, "EnhanceResnet": peer_loss}


def make(name: str, task: str, arguments: argparse.Namespace) -> Way:
    """Return a function that takes one training step or enhances one recording."""
    torch.manual_seed(0)
    device = arguments.device
    model = SYSTEMS[name]().to(device)
    autocast = contextlib.nullcontext
    if arguments.precision == "bf16":
        autocast = functools.partial(torch.autocast, device, torch.bfloat16)
    if task == "inference":
        samples = round(arguments.recording * RATE)
        recording = 0.1 * torch.randn(1, samples, device=device)
        return functools.partial(enhance, model.eval(), recording, autocast)
    shape = (2, arguments.batch, round(arguments.seconds * RATE))
    clean, noise = 0.1 * torch.randn(shape, device=device)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    signals = clean + noise, clean
    return functools.partial(step, model, optimizer, LOSSES[name], signals, autocast)


@torch.inference_mode()
def enhance(model: nn.Module, noisy: Tensor, autocast: Callable) -> None:
    """Enhance one recording."""
    with autocast():
        model(noisy)


def step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Callable[..., Tensor],
    signals: tuple[Tensor, Tensor],
    autocast: Callable,
) -> None:
    """Take one training step."""
    optimizer.zero_grad()
    with autocast():
        value = loss(model, *signals)
    value.backward()
    optimizer.step()


def measure_memory(name: str, task: str, arguments: argparse.Namespace) -> float:
    """Return the memory that one call adds, in MiB."""
    torch.set_num_threads(arguments.threads)
    way = make(name, task, arguments)
    before = watch_memory(arguments.device)
    for _ in range(2):
        way()
    clock(arguments.device)
    return peak_memory(arguments.device) - before


if __name__ == "__main__":
    main()
