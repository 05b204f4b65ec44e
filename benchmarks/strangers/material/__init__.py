"""What samples are made of: photos, rendered text, speech, music."""
