"""Places where images are: folders, zips, tars and arrays, listed and read in place."""
