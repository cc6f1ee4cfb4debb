"""The routes of the REST API as operations: generators of steps that both drivers can run (see `steps`)."""
