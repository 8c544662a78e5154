"""Where scalars, images and texts go besides metrics.csv: a class per file, four methods each."""
