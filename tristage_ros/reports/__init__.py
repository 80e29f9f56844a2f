"""One run told (report), two runs compared."""
