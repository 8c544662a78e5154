"""Files of the field: how they are found, read and written."""
