"""Pictures as arrays: alpha arithmetic, codecs, contact sheets. Nothing here knows what a scene is."""
