"""The options of a run: their types, their values, and where these come from."""
