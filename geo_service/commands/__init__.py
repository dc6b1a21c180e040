"""The commands of `geo-service`. What is heavy is imported inside a command, so that `--help` answers at once."""
