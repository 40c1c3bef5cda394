"""What a team's installation consists of: image, compose file, Kubernetes values, and a demo of it on one machine."""
