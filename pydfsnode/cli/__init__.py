"""The command line: argv to calls; nothing below knows it. One file a command group."""
