# Two microphones, one talker: python train.py train.yaml
import sys
from collections import defaultdict

import speechbrain as sb
import torch
from hyperpyyaml import load_hyperpyyaml
from speechbrain.utils.metric_stats import MetricStats


class Talkers(torch.utils.data.Dataset):
    """Buzzes with the rhythm of syllables, heard at two ears, in noise"""

    def __init__(self, first, count, seconds, rate):
        self.first, self.count, self.rate = first, count, rate
        self.t = torch.arange(int(seconds * rate)) / rate

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        g = torch.Generator().manual_seed(self.first + i)
        pitch, tempo, phase = torch.rand(3, generator=g)
        w = 2 * torch.pi * self.t
        voice = sum(torch.sin(k * (110 + 110 * pitch) * w) / k for k in range(1, 15))
        voice = 0.1 * voice * (1.05 + torch.sin((2 + 3 * tempo) * w + 6 * phase))
        clean = torch.stack([voice, 0.6 * voice.roll(3)])
        noise = 0.1 * torch.randn(clean.shape, generator=g)
        return str(i), clean + noise, clean


class TwoMics(sb.Brain):
    def compute_forward(self, batch, stage):
        spec = self.stft(batch[1].to(self.device))
        return self.mask(spec.abs()) * spec

    def mask(self, mag):
        feats = torch.log1p(10 * mag)
        left, right = [self.modules.encoder(feats[:, [ear]]) for ear in (0, 1)]
        left, right = torch.relu(left), torch.relu(right)
        logits = [self.modules.decoder(x) for x in (left, right)]
        return torch.cat(logits, dim=1).sigmoid()

    def stft(self, wav):
        n = self.hparams.n_fft
        window = torch.hann_window(n, device=wav.device)
        spec = torch.stft(
            wav.flatten(0, 1), n, n // 2, window=window, return_complex=True
        )
        return spec.transpose(-1, -2).unflatten(0, wav.shape[:2])

    def istft(self, spec, samples):
        n = self.hparams.n_fft
        window = torch.hann_window(n, device=spec.device)
        spec = spec.flatten(0, 1).transpose(-1, -2)
        wav = torch.istft(spec, n, n // 2, window=window, length=samples)
        return wav.unflatten(0, (-1, 2))

    def compute_objectives(self, predictions, batch, stage):
        ids, noisy, clean = batch
        noisy, clean = noisy.to(self.device), clean.to(self.device)
        enhanced = self.istft(predictions, clean.shape[-1])
        losses = {
            "spectrum": (predictions.abs() - self.stft(clean).abs()).abs().mean(),
            "signal": (enhanced - clean).abs().mean(),
        }
        if stage != sb.Stage.TRAIN:
            self.scores.append(ids, clean, enhanced)
        for name, loss in losses.items():
            self.parts[name].append(loss.item())
        return sum(self.hparams.weights[name] * losses[name] for name in losses)

    def on_stage_start(self, stage, epoch=None):
        self.parts = defaultdict(list)
        self.scores = MetricStats(metric=residual)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        stats = {"loss": stage_loss}
        stats.update({name: sum(x) / len(x) for name, x in self.parts.items()})
        if stage == sb.Stage.TRAIN:
            self.train_stats = stats
            return
        stats["score"] = self.scores.summarize("average")
        if stage == sb.Stage.VALID:
            self.hparams.logger.log_stats({"epoch": epoch}, self.train_stats, stats)
            self.checkpointer.save_and_keep_only(meta=stats, num_to_keep=9)
        else:
            self.hparams.logger.log_stats({"test": "done"}, test_stats=stats)


def residual(clean, enhanced):
    return 10 * ((enhanced - clean).square().sum((1, 2)) + 1e-8).log10()


if __name__ == "__main__":
    hparams_file, run_opts, overrides = sb.parse_arguments(sys.argv[1:])
    with open(hparams_file) as fin:
        hparams = load_hyperpyyaml(fin, overrides)
    sb.create_experiment_directory(hparams["output_folder"], hparams_file, overrides)
    brain = TwoMics(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    loaders = {"train_loader_kwargs": hparams["train_loader"]}
    loaders["valid_loader_kwargs"] = hparams["valid_loader"]
    brain.fit(hparams["epoch_counter"], hparams["train"], hparams["valid"], **loaders)
    brain.evaluate(hparams["test"], test_loader_kwargs=hparams["valid_loader"])
