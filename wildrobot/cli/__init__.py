"""The command line: one module per sub-command, with its options, its printing and its exit codes."""
