"""Everything written for the user: pictures, animations, plots, arrays, tables."""
