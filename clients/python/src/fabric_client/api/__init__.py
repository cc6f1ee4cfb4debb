"""The routes of the REST API as operations: generators of steps that either driver carries out (see `steps`)."""
