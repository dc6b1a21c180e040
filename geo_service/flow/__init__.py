"""The flow: from bytes at the border through the log to outputs. The rules it runs are pure; this is the shell around them."""
