"""The engine that drives a Docker-compatible daemon through the `docker` SDK."""
