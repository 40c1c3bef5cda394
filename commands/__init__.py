"""The `decoupage` command, above all packages: `main` mounts their commands; doctor and prune look at all of them."""
