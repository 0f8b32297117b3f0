"""The options of a run: what each may be, where its value comes from, and how it is parsed."""
