"""Running the service: logs and measured figures."""
