"""Sources of images: folders, zips, tars and arrays, listed and read in place."""
