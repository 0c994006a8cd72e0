"""The rehearsal: an embedded AWS, real PostgreSQL servers, load, audit and report on one machine."""
