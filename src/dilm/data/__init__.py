"""From whatever a user has to three splits: reading, checking and carving, and two toy tasks whose truth is known."""
