"""The files of a run's folder, by the names that they have there."""

SUMMARY, ITEMS, HISTORY = "test_summary.json", "test_items.csv", "history.json"
SPEECH_HISTORY = "speech_history.json"
SETTINGS, COMMAND, MODEL = "hyperparams.yaml", "command.txt", "model/config.json"
ENVIRONMENT, SCRIPT = "env.log", "train.py"
LISTED = "examples/index.json"
# one of these a folder of a run has
EXPECTED = (SETTINGS, SUMMARY, ITEMS, HISTORY)
