"""From encoded images to pixels: one image, many in threads, many in processes."""
