"""What the command `speechbrain-fusion` does: a module per command, run(options)."""
