"""Train and evaluate unified enhancement and separation with gradient modulation.

    python recipes/librimix_noisy/train.py hparams/small.yaml
    python recipes/librimix_noisy/train.py hparams/dprnn.yaml --data_folder FOLDER

See README.md beside this file.
"""

import sys

from speechbrain_fusion.brains import SeparationBrain, start_run


def main(arguments: list[str]) -> None:
    """Run the recipe."""
    hparams, run_opts = start_run(arguments, __file__)
    mixtures = hparams["corpus"]()
    brain = SeparationBrain(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    brain.fit(
        hparams["epoch_counter"],
        mixtures["train"],
        mixtures["valid"],
        train_loader_kwargs=dict(hparams["train_loader"]),
        valid_loader_kwargs=dict(hparams["eval_loader"]),
    )
    brain.evaluate(
        mixtures["test"],
        max_key=hparams["select"],
        test_loader_kwargs=dict(hparams["eval_loader"]),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
