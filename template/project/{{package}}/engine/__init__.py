"""How training runs; knows no task and no model."""
