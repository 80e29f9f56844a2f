"""Episodes that a person shows: what lies in their folder, how they are judged while they run, and their pictures."""
