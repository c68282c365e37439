"""Train and evaluate binaural enhancement with latent fusion layers.

    python recipes/binaural/train.py hparams/fusion.yaml
    python recipes/binaural/train.py hparams/fusion.yaml --data_folder FOLDER

See README.md beside this file.
"""

import sys
from pathlib import Path
from typing import Any

from speechbrain.utils.distributed import run_on_main

from speechbrain_fusion.brains import EnhancementBrain, start_run
from speechbrain_fusion.data import (
    BinauralScenes,
    prepare_recordings,
    write_demo_corpus,
)


def make_scenes(hparams: dict[str, Any]) -> dict[str, BinauralScenes]:
    """Prepare the recordings and return the scenes of train, valid and test."""
    folder = hparams["data_folder"]
    if folder is None:
        folder = hparams["demo_folder"]
        run_on_main(write_demo_corpus, [folder])
    manifests = run_on_main(
        prepare_recordings,
        [folder, hparams["save_folder"]],
        {
            "rate": hparams["sample_rate"],
            "segment": hparams["segment"],
            "noise_split": hparams["noise_split"],
        },
    )
    hrir = hparams["hrir"]
    source = hrir if hrir == "sphere" else Path(folder) / "hrir" / hrir
    responses = hparams["responses"](source, hparams["sample_rate"])
    return {
        split: hparams["scenes"](
            manifests[f"speech_{split}"],
            manifests[f"noise_{split}"],
            responses,
            size=size,
            seed=hparams["scene_seeds"][split],
            fixed=split != "train",
        )
        for split, size in hparams["scene_counts"].items()
    }


def main(arguments: list[str]) -> None:
    """Run the recipe."""
    hparams, run_opts = start_run(arguments, __file__)
    scenes = make_scenes(hparams)
    brain = EnhancementBrain(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    brain.fit(
        hparams["epoch_counter"],
        scenes["train"],
        scenes["valid"],
        train_loader_kwargs=dict(hparams["train_loader"]),
        valid_loader_kwargs=dict(hparams["eval_loader"]),
    )
    brain.evaluate(
        scenes["test"],
        max_key=hparams["select"],
        test_loader_kwargs=dict(hparams["eval_loader"]),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
