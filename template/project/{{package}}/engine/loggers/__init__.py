"""Where scalars, images and texts go besides metrics.csv: a class per file, four methods each.

A call that raises has taken nothing, and is made again later. What a class took and still holds
back is in its `unsent`, if it has one.
"""
