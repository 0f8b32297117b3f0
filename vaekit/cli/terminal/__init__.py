"""The terminal: messages, progress, tables, and how its signals and failures end a command."""
