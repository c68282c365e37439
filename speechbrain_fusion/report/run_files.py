"""The files of a run's folder, by the names that they have there."""

SUMMARY, ITEMS, HISTORY = "test_summary.json", "test_items.csv", "history.json"
SPEECH_HISTORY = "speech_history.json"
# the stages of a training of two, by the names that its figures and its page have
SPEECH_STAGE, JOINT_STAGE = "speech autoencoder", "joint training"
SETTINGS, COMMAND = "hyperparams.yaml", "command.txt"
# how settings begin, before the path of the YAML that they were made of
ORIGIN = "# From "
ENVIRONMENT, SCRIPT = "env.log", "train.py"
MODEL_FOLDER, EXAMPLES = "model", "examples"
MODEL, INDEX = f"{MODEL_FOLDER}/config.json", "index.json"
FIGURE, TERMS, LATENTS = "run.png", "terms.png", "latents.png"
GRADIENTS, GRADIENTS_FIGURE = "gradients.csv", "gradients.png"
# one of these a folder of a run has
EXPECTED = (SETTINGS, SUMMARY, ITEMS, HISTORY)
