"""The HTTP layer of labelog. It has no routes yet."""
