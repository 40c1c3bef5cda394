"""What a picture, an alpha and a mask are: types, files, arithmetic, and the rules by which each changes size.

Every package stands on this; nothing here knows a model, a scene or a shard. Modules that need torch say so by their
types; `types`, `alpha`, `reading`, `profiles`, `codecs` and `contact_sheet` are numpy and Pillow alone.
"""
