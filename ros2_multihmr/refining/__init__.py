"""A second look at everybody who was found: several crops of a person, one corrected body in the same full camera."""
