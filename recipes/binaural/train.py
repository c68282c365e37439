"""Train and evaluate binaural enhancement with latent fusion layers.

    python recipes/binaural/train.py hparams/fusion.yaml
    python recipes/binaural/train.py hparams/fusion.yaml --data_folder FOLDER

See README.md beside this file.
"""

import sys

from speechbrain_fusion.brains import EnhancementBrain, start_run


def main(arguments: list[str]) -> None:
    """Run the recipe."""
    hparams, run_opts = start_run(arguments, __file__)
    scenes = hparams["corpus"]()
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
