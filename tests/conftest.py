"""What holds for every test."""

import os

# As `cli.command.import_tensorflow` does for the commands, before anything imports it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
