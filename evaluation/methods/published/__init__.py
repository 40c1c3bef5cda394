"""Published models that diffusers carries, as methods: loaded from files that are here, never downloaded by a run."""
