"""The embedded engine: drives crun or runc by itself, with no daemon."""
