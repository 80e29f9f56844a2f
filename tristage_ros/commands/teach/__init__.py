"""The command `tristage teach`: a person leads the arm, and says what becomes of every episode."""
