"""From a trained network to sentences: search, CTC decoding, translation of videos."""
